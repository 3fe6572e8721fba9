"""model-index.yml and the pages of the methods: made, and as measured."""

import functools
import re
import shutil
from pathlib import Path

import config_heads
import make_model_index
import pytest
from mmengine.config import Config
from mmengine.fileio import load

from tests.helpers import det_configs

pytest.importorskip('mmdet')

ROOT = Path(__file__).parents[2]
INDEX = load(ROOT / 'model-index.yml')
METHODS = INDEX['Collections']
MODELS = INDEX['Models']
MEASURED = [model for model in MODELS if 'Results' in model]
# Plan and data in the index -> where docs/evidence.md has its table.
TABLES = {
    ('neu', 'NEU-DET'): '\nSteel surfaces:\n',
    ('bccd', 'BCCD'): '\nBlood cells:\n',
    ('beyond_logits', 'NEU-DET'): '\nSteel surfaces, validation images:\n',
    ('beyond_logits', 'BCCD'): '\nBlood cells, validation images:\n',
    ('one_stage', 'BCCD'): (
        '\nBlood cells, GFL, validation images; the teacher has 0.526:\n'
    ),
}
# Methods that are what taps do, or a switch of the hook, or a student.
OF_TAPS = {
    *('crosskd', 'crosskd_detr', 'detrdistill'),
    *('function_matching', 'simkd'),
}
HEAD = """\
# A student with its teacher.
# Run: python tools/train.py configs/x/student_kd.py
# Prepare: docs/datasets/x.md
# Result: {}

_base_ = './student.py'
custom_hooks = []
"""

each_method = pytest.mark.parametrize(
    'method', METHODS, ids=lambda method: method['Name']
)
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
    """What a config says of itself, in one line."""
    text = (ROOT / config).read_text()
    (found,) = re.findall(r'^# Result: (.+(?:\n#   .+)*)$', text, re.M)
    return found.replace('\n#  ', '')


@functools.cache
def table_of(plan, data):
    """Method -> box AP in percent, of a table in docs/evidence.md."""
    text = (ROOT / 'docs' / 'evidence.md').read_text()
    table = text.split(TABLES[plan, data])[1].strip().split('\n\n')[0]
    cells = [line.split('|') for line in table.splitlines()[2:]]
    return {
        name.strip().upper(): round(100 * float(figure.split('±')[0]), 1)
        for _, name, figure, *_ in cells
    }


def methods_of(model):
    """Its methods, from the name of its config, or its ``method``."""
    told = re.search(
        r"^method = '(\w+)'", (ROOT / model['Config']).read_text(), re.M
    )
    if told:
        return [told[1]]
    stem = re.sub(r'_\d+e$', '', Path(model['Config']).stem)
    end = det_configs.end_of(stem)
    if stem.startswith('deformable-detr_') and end == 'crosskd':
        end = 'crosskd_detr'
    return [end] if end in OF_TAPS else det_configs.methods_of(stem)


def method_of(model):
    """As the tables call it, from the name: 'KD', 'CKD + RLD', ..."""
    return ' + '.join(methods_of(model)).upper()


def distils(path):
    """Whether a config has a hook, of its own or of one beside it."""
    text = path.read_text()
    bases = re.findall(r"'\./([^']+\.py)'", text)
    return 'custom_hooks' in text or any(
        distils(path.parent / base) for base in bases
    )


def test_all_of_it_is_as_the_command_writes_it():
    """If not: python tools/model_converters/make_model_index.py"""
    files = make_model_index.make_files()
    assert len(files) == 2 + len(METHODS)
    for name, text in files.items():
        assert (ROOT / name).read_text() == text, name


@each_method
def test_page_of_a_method(method):
    page = ROOT / method['README']
    name = method['Name'].lower()
    assert page.stem in (name.replace('-', '_'), name.replace('-', ''))
    fragment = ROOT / 'configs' / '_base_' / 'methods' / page.name
    assert fragment.with_suffix('.py').is_file()
    text = page.read_text()
    paper = method['Paper']
    assert f'> [{paper["Title"]}]({paper["URL"]})' in text
    assert f'title={{{paper["Title"]}}}' in text
    assert re.findall(r'^## (.+)', text, re.M) == [
        *('Formula', 'In a config', 'Results', 'Citation')
    ]


def test_every_loss_has_a_page():
    losses = (ROOT / 'mmkd_plugin' / 'losses').glob('[!_]*.py')
    assert {path.stem for path in losses} | OF_TAPS == {
        Path(method['README']).stem for method in METHODS
    }


def test_names_are_unique_and_lower_case():
    """mim searches for the name in lower case."""
    names = [model['Name'] for model in MODELS]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() for name in names)
    for model in MODELS:
        path = Path(model['Config'])
        assert model['Name'] in (path.stem, f'{path.stem}_{path.parent.name}')


def test_every_distillation_config_is_listed_once():
    listed = [model['Config'] for model in MODELS]
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / 'configs').rglob('*.py')
        if '_base_' not in path.parts and distils(path)
    ]
    assert sorted(listed) == sorted(found)


@pytest.mark.parametrize('model', MODELS, ids=lambda model: model['Name'])
def test_entry_is_that_of_its_config(model):
    """By the name of the config, as somebody chooses it."""
    (collection,) = (
        method
        for method in METHODS
        if method['Name'] == model['In Collection']
    )
    assert methods_of(model)[0] == Path(collection['README']).stem
    path = ROOT / model['Config']
    cfg = Config.fromfile(path, import_custom_modules=False)
    assert model['Metadata']['Epochs'] == cfg.train_cfg.max_epochs
    measured = re.match(r'mAP 0\.\d{3} \+- ', result_of(model['Config']))
    assert bool(measured) == ('Results' in model)


@each_measured
def test_results_are_those_of_the_configs(model):
    """Also where a config says again what its student has alone."""
    metadata = model['Metadata']
    result = result_of(model['Config'])
    (alone,) = re.findall(r'the student alone has (0\.\d{3} \+- \S+) ', result)
    student, teacher = metadata['Student'], metadata['Teacher']
    of_student = result_of(student['Config'])
    if metadata['Command'].split()[-1] in of_student:
        assert of_student.startswith(f'mAP {alone} over seeds ')
    of_teacher = result_of(teacher['Config'])
    if ' and the teacher ' in result:
        of_teacher = result.split(' and the teacher ')[1]
    for text, figure in (
        (result, box_ap(model)),
        (alone, student['box AP']),
        (of_teacher, teacher['box AP']),
    ):
        (found,) = re.findall(r'^(?:mAP )?(0\.\d{3})\b', text)
        assert figure == round(100 * float(found), 1)
    script = metadata['Command'].split()[1:]
    assert metadata['Command'].removeprefix('python ') in result
    assert all((ROOT / part).is_file() for part in script if '/' in part)


@each_measured
def test_results_are_those_of_the_pages(model):
    """Those that people write, of the runs themselves."""
    metadata = model['Metadata']
    table = Path(metadata['Command']).stem, metadata['Training Data']
    if table in TABLES:
        found = table_of(*table)
        assert metadata['Student']['box AP'] == found['STUDENT ALONE']
        assert box_ap(model) == found[method_of(model)]
        assert metadata['Seeds'] == (3 if table[0] == 'one_stage' else 5)
    else:
        text = (ROOT / 'README.md').read_text()
        for name, figure in (
            ('student \\+ CKD', box_ap(model)),
            ('student', metadata['Student']['box AP']),
            ('teacher', metadata['Teacher']['box AP']),
        ):
            (found,) = re.findall(rf'\| {name} +\| +(0\.\d+)', text)
            assert figure == round(100 * float(found), 1)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of one page, of a method and of data, and two configs."""
    for folder in ('configs/x', 'docs/datasets', 'docs/methods'):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / 'docs/methods/kd.md', tmp_path / 'docs/methods')
    (tmp_path / 'docs/datasets/x.md').write_text('# Data of X\n\nText.\n')
    config = tmp_path / 'configs/x/student_kd.py'
    config.write_text(HEAD.format('not measured yet.'))
    (config.parent / 'student.py').write_text('\n')
    for module in (config_heads, make_model_index):
        monkeypatch.setattr(module, 'ROOT', tmp_path)
    return config


def name_of(config):
    return str(config.relative_to(config.parents[2]))


def test_result_of_a_classifier(project):
    project.write_text(
        HEAD.format('top-1 70.12 +- 0.20 over seeds 0, 2, 5 (tools/a.py b).')
    )
    name = name_of(project)
    assert config_heads.read_head(name).data == 'Data of X'
    assert config_heads.read_runs(name) == dict(
        Seeds=3, Command='python tools/a.py b'
    )
    assert config_heads.read_metric(name) == (
        'Image Classification',
        {'Top 1 Accuracy': 70.12},
    )
    student = make_model_index.student_of(name)
    assert student == 'configs/x/student.py'


@pytest.mark.parametrize(
    'result',
    [
        'mAP 0.4, good.',
        'mAP 0.412 over seeds 0 to 4 (tools/sweep/sweep.py).',
        'measured not yet.',
    ],
)
def test_result_of_no_known_form(project, result):
    project.write_text(HEAD.format(result))
    with pytest.raises(SystemExit, match='to be `not measured yet') as info:
        config_heads.read_runs(name_of(project))
    assert result in str(info.value)


def test_figure_that_is_needed_but_not_measured(project):
    with pytest.raises(SystemExit, match='measure it before'):
        config_heads.read_metric(name_of(project))


@pytest.mark.parametrize('line', ['# Prepare: ', '# Result: '])
def test_head_without_a_line(project, line):
    text = project.read_text()
    project.write_text(re.sub(f'{line}.*\n', '', text))
    with pytest.raises(SystemExit, match='expected the first lines of'):
        config_heads.read_head(name_of(project))


def test_page_of_the_data_that_is_gone(project):
    (project.parents[2] / 'docs/datasets/x.md').unlink()
    with pytest.raises(SystemExit, match='a page that exists'):
        config_heads.read_head(name_of(project))


def test_config_without_its_student(project):
    project.write_text(project.read_text().replace('./student', '../student'))
    with pytest.raises(SystemExit, match='put that first into `_base_`'):
        make_model_index.student_of(name_of(project))


def test_page_without_a_paper(project):
    page = project.parents[2] / 'docs/methods/kd.md'
    page.write_text('# KD\n\nText.\n')
    with pytest.raises(SystemExit, match='to begin with `# NAME`'):
        make_model_index.read_collections()


def test_method_without_a_page(project):
    project.write_text(
        HEAD.format('not measured yet.').replace(
            '[]',
            "[dict(type='CKDHook', teacher=dict(config='', checkpoint=''))]",
        )
    )
    with pytest.raises(SystemExit, match=r'add docs/methods/ckd\.md'):
        make_model_index.make_files()


def test_method_without_a_config(project):
    """A page gets its section, and keeps the rest."""
    project.unlink()
    page = project.parents[2] / 'docs/methods/kd.md'
    page.write_text('# KD\n\n> [Title](https://x)\n\nText.\n')
    files = make_model_index.make_files()
    text = files['docs/methods/kd.md']
    assert text.startswith(page.read_text() + '\n## Results\n\n<!-- ')
    assert text.endswith('-->\n\nNo config yet.\n')
    page.write_text(text + '\n## Citation\n\nText.\n')
    assert make_model_index.make_files()['docs/methods/kd.md'] == (
        page.read_text()
    )
    assert 'Models: []' in files['model-index.yml']
