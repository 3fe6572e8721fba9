"""Several processes, as they would train on several GPUs."""

import pytest

from tests.helpers import processes

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    'size, check',
    [
        (4, processes.check_ranks_stay_identical),
        (2, processes.check_split_images_equal_the_whole),
        (2, processes.check_download_once_a_node),
    ],
)
def test_in_processes(group, tmp_path, size, check):
    group(size).run(check, tmp_path)
