"""A local index of wheels, with the layout of the two families'."""

import contextlib
import functools
import http.server
import platform
import threading
import zipfile


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serve(folder):
    """Yields the address of a server of a folder's files."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f'http://127.0.0.1:{server.server_port}'
        finally:
            server.shutdown()
            thread.join()


def name_wheel(project='onedl_mmcv', version='2.3.6', python='cp311'):
    """Returns the name of a wheel for this machine."""
    return (
        f'{project}-{version}-{python}-{python}-linux_{platform.machine()}.whl'
    )


def write_wheel(path, ops=None):
    """Writes a wheel of mmcv that pip takes.

    Args:
        path (Path): Where; its name says what the wheel is.
        ops (str | None): Source of a module in place of the compiled one.
    """
    project, version, *tag = path.stem.split('-')
    info = f'{project}-{version}.dist-info'
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w') as wheel:
        wheel.writestr('mmcv/__init__.py', '')
        if ops is not None:
            wheel.writestr('mmcv/_ext.py', ops)
        wheel.writestr(
            f'{info}/METADATA',
            f'Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n',
        )
        wheel.writestr(
            f'{info}/WHEEL',
            f'Wheel-Version: 1.0\nTag: {"-".join(tag)}\n',
        )
        wheel.writestr(f'{info}/RECORD', '')
    return path


def write_page(folder, *names):
    """Writes the page of an index: a link to each wheel beside it."""
    links = ''.join(f'<a href="{name}">{name}</a><br>\n' for name in names)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / 'index.html'
    page.write_text(f'<!DOCTYPE html><html><body>\n{links}</body></html>\n')
    return page
