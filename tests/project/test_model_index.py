"""The metafiles of model-index.yml: what they name exists, was measured."""

import functools
import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.registry import HOOKS

import mmkd_plugin  # noqa: F401

ROOT = Path(__file__).parents[2]
INDEX = load(ROOT / 'model-index.yml')['Import']
FILES = {name: load(ROOT / name) for name in INDEX}
MODELS = [model for file in FILES.values() for model in file['Models']]
MEASURED = [model for model in MODELS if 'Results' in model]
# Data in a metafile -> where docs/results.md has its table.
TABLES = {'NEU-DET': '\nSteel surfaces:\n', 'BCCD': '\nBlood cells:\n'}

each_file = pytest.mark.parametrize('name', INDEX)
each_measured = pytest.mark.parametrize(
    'model', MEASURED, ids=lambda model: model['Name']
)


def box_ap(model):
    """The one figure of an entry."""
    (result,) = model['Results']
    assert result['Task'] == 'Object Detection'
    assert result['Dataset'] == model['Metadata']['Training Data']
    assert list(result['Metrics']) == ['box AP']
    return result['Metrics']['box AP']


def result_of(config):
    """What a config says of itself: box AP in percent, or None."""
    (text,) = re.findall(
        r'^# Result: (.+)$', (ROOT / config).read_text(), re.M
    )
    found = re.match(r'mAP (0\.\d{3})\b', text)
    assert found or text.startswith('not measured')
    return round(100 * float(found[1]), 1) if found else None


@functools.cache
def table_of(data):
    """Method -> box AP in percent, of a table in docs/results.md."""
    text = (ROOT / 'docs' / 'results.md').read_text()
    table = text.split(TABLES[data])[1].strip().split('\n\n')[0]
    cells = [line.split('|') for line in table.splitlines()[2:]]
    return {
        name.strip(): round(100 * float(figure.split('±')[0]), 1)
        for _, name, figure, *_ in cells
    }


def method_of(model):
    """As the tables call it: 'KD', 'CKD + RLD', ..."""
    names = '|'.join(Path(name).parent.name for name in INDEX)
    stem = Path(model['Config']).stem
    found = re.search(rf'((_({names}))+)(_\d+e)?$', stem)
    return found[1].strip('_').upper().replace('_', ' + ')


def distils(path):
    """Whether a config has a hook, of its own or of one beside it."""
    text = path.read_text()
    bases = re.findall(r"'\./([^']+\.py)'", text)
    return 'custom_hooks' in text or any(
        distils(path.parent / base) for base in bases
    )


def test_every_metafile_is_imported():
    found = (ROOT / 'configs').rglob('metafile.yml')
    assert sorted(INDEX) == sorted(
        str(path.relative_to(ROOT)) for path in found
    )


@each_file
def test_collection(name):
    (collection,) = FILES[name]['Collections']
    assert collection['Name'].lower() == Path(name).parent.name
    assert re.match('https://arxiv.org/abs/', collection['Paper']['URL'])
    readme = (ROOT / collection['README']).read_text()
    paper = collection['Paper']
    assert f'> [{paper["Title"]}]({paper["URL"]})' in readme
    assert f'title={{{paper["Title"]}}}' in readme


def test_names_are_unique_and_lower_case():
    """mim searches for the name in lower case."""
    names = [model['Name'] for model in MODELS]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() for name in names)


def test_every_distillation_config_is_listed_once():
    listed = [model['Config'] for model in MODELS]
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / 'configs').rglob('*.py')
        if '_base_' not in path.parts and distils(path)
    ]
    assert sorted(listed) == sorted(found)


@each_file
def test_configs_train_by_the_method(name):
    (collection,) = FILES[name]['Collections']
    for model in FILES[name]['Models']:
        assert model['In Collection'] == collection['Name']
        path = Path(model['Config'])
        assert model['Name'] in (path.stem, f'{path.stem}_{path.parent.name}')
        cfg = Config.fromfile(ROOT / path, import_custom_modules=False)
        losses = HOOKS.build(cfg.custom_hooks[0]).losses.values()
        kinds = ' + '.join(
            type(loss).__name__.removesuffix('Loss') for loss in losses
        )
        assert kinds == method_of(model)
        assert kinds.split(' + ')[0] == collection['Name']
        assert model['Metadata']['Epochs'] == cfg.train_cfg.max_epochs


def test_what_was_not_measured_has_no_result():
    for model in MODELS:
        if model not in MEASURED:
            assert result_of(model['Config']) is None
    assert len(MEASURED) == 11


@each_measured
def test_results_are_those_of_the_configs(model):
    assert box_ap(model) == result_of(model['Config'])
    for role in ('Student', 'Teacher'):
        other = model['Metadata'][role]
        assert other['box AP'] == result_of(other['Config'])


@each_measured
def test_results_are_those_of_the_pages(model):
    metadata = model['Metadata']
    data = metadata['Training Data']
    if data in TABLES:
        table = table_of(data)
        assert metadata['Student']['box AP'] == table['student alone']
        assert box_ap(model) == table[method_of(model)]
    else:
        text = (ROOT / 'README.md').read_text()
        for name, figure in (
            ('student \\+ CKD', box_ap(model)),
            ('student', metadata['Student']['box AP']),
            ('teacher', metadata['Teacher']['box AP']),
        ):
            (found,) = re.findall(rf'\| {name} +\| +(0\.\d+)', text)
            assert figure == round(100 * float(found), 1)
    script = metadata['Command'].split()[1:]
    assert all((ROOT / part).is_file() for part in script if '/' in part)


@each_measured
def test_readme_has_the_results(model):
    metadata = model['Metadata']
    readme = ROOT / 'configs' / model['In Collection'].lower() / 'README.md'
    config = Path('..', *Path(model['Config']).parts[1:])
    (line,) = (
        line
        for line in readme.read_text().splitlines()
        if f'({config})' in line
    )
    cells = [cell.strip() for cell in line.split('|')]
    assert cells[1].split(' (')[0] == metadata['Training Data']
    assert [float(cell) for cell in cells[2:5]] == [
        metadata['Teacher']['box AP'],
        metadata['Student']['box AP'],
        box_ap(model),
    ]
    assert (readme.parent / config).is_file()
