"""Old checkpoints are removed once the new one is whole."""

from mmengine.fileio import get_file_backend

from mmkd_plugin.resume.late_removal import LateRemoval


def test_removal_waits(tmp_path):
    files = [tmp_path / name for name in ('a', 'b', 'c')]
    for file in files:
        file.write_text('')
    folder = tmp_path / 'd'
    folder.mkdir()
    backend = LateRemoval(get_file_backend(str(tmp_path)))
    assert backend.isfile(str(files[0]))
    for file in files[:2]:
        backend.remove(str(file))
    backend.rmtree(str(folder))
    assert all(path.exists() for path in (*files, folder))
    backend.remove_marked(keep={str(files[1])})
    assert [path.exists() for path in (*files, folder)] == [
        False,
        True,
        True,
        False,
    ]
    # What is gone already, and what was kept, is not asked for again.
    backend.remove(str(files[0]))
    backend.remove_marked(keep=())
    assert files[1].exists()
