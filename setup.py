import os
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
# What `mim` looks for inside an installed package, under `.mim`, and the pages
# that the configs and the index name.
MIM_EXTENSION = (
    'configs',
    'tools',
    'model-index.yml',
    'docs/datasets',
    'docs/methods',
)


def read_version():
    """Reads the version from the package's text, without importing it."""
    text = (ROOT / 'mmkd_plugin' / '__init__.py').read_text()
    match = re.search(r"^__version__ = '([^']+)'", text, re.MULTILINE)
    if match is None:
        raise RuntimeError(
            "Expected a line `__version__ = '...'` in "
            'mmkd_plugin/__init__.py but found none.'
        )
    return match.group(1)


def read_requirements(name):
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


def add_mim_extension(package, link=False):
    """Puts configs, tools, model index and pages under ``package/.mim``.

    Args:
        package (Path): The folder of the package: in the source tree, a
            build folder or the tree of a source distribution.
        link (bool): Whether to link to the originals, so that an editable
            install sees every edit, or to copy them.
    """
    mim = Path(package) / '.mim'
    shutil.rmtree(mim, ignore_errors=True)
    mim.mkdir(parents=True)
    for name in MIM_EXTENSION:
        source, target = ROOT / name, mim / name
        if not source.exists():
            continue
        target.parent.mkdir(exist_ok=True)
        if link:
            target.symlink_to(os.path.relpath(source, target.parent))
        elif source.is_dir():
            ignore = shutil.ignore_patterns('__pycache__')
            shutil.copytree(source, target, ignore=ignore)
        else:
            shutil.copy2(source, target)


class BuildPy(build_py):
    def run(self):
        super().run()
        if self.editable_mode:
            add_mim_extension(ROOT / 'mmkd_plugin', link=True)
        else:
            add_mim_extension(Path(self.build_lib) / 'mmkd_plugin')


class SDist(sdist):
    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        add_mim_extension(Path(base_dir) / 'mmkd_plugin')


readme = ROOT / 'README.md'
setup(
    name='mmkd_plugin',
    version=read_version(),
    description='Knowledge distillation for MMDetection and MMPretrain '
    'through one entry in custom_hooks',
    long_description=readme.read_text() if readme.exists() else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    classifiers=[
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    python_requires='>=3.10,<3.13',
    packages=find_packages(include=['mmkd_plugin', 'mmkd_plugin.*']),
    # Two families of distributions provide the modules mmengine, mmcv,
    # mmdet and mmpretrain; naming either here would pull it in beside the
    # other. Their versions are checked on import.
    install_requires=read_requirements('runtime'),
    extras_require={'tests': read_requirements('tests')},
    cmdclass={'build_py': BuildPy, 'sdist': SDist},
    zip_safe=False,
)
