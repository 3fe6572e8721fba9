"""The page in a browser, if there is one: Chromium without a window."""

import html
import json
import re
import shutil
import subprocess

import page
import pytest

from tests.helpers.sweep_pages import gains, make_data
from tests.helpers.trained import write_classifier

BROWSER = next(
    filter(
        None,
        map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome')),
    ),
    None,
)
# A frame has the width that the page sees. Nothing of it is loaded later.
FRAME = '<iframe width="{0}" height="900" srcdoc="{1}"></iframe>'
MEASURE = """<pre></pre><script>
const bright = color => {
  const [r, g, b] = color.match(/[\\d.]+/g).map(Number);
  return (0.299 * r + 0.587 * g + 0.114 * b) / 255;
};
addEventListener('load', async () => {
  const found = [];
  for (const frame of document.querySelectorAll('iframe')) {
    const view = frame.contentWindow, page = frame.contentDocument;
    for (const fold of page.querySelectorAll('details')) fold.open = true;
    const images = [...page.images];
    await Promise.all(images.map(image => image.decode().catch(() => 0)));
    const text = page.querySelector('svg text');
    found.push({
      width: view.innerWidth,
      shown: page.documentElement.clientWidth,
      content: page.documentElement.scrollWidth,
      scripts: page.scripts.length,
      images: images.map(image => image.naturalWidth),
      loaded: view.performance.getEntriesByType('resource')
        .map(entry => entry.name).filter(name => !name.startsWith('data:')),
      paper: bright(view.getComputedStyle(page.body).backgroundColor),
      ink: bright(view.getComputedStyle(page.body).color),
      drawn: bright(view.getComputedStyle(text).fill),
    });
  }
  document.querySelector('pre').textContent = JSON.stringify(found);
});
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason='Chromium is not installed.')
@pytest.mark.parametrize('theme', ['dark', 'light'])
def test_page_in_a_browser(tmp_path, theme):
    long = 'a_run_whose_name_is_far_longer_than_a_telephone_is_wide_' * 2
    runs = dict(student=gains(0, 0, 0, base=50))
    runs |= {long: gains(3, 3, 3, base=50), 'kd': gains(1, 1, base=50)}
    data = make_data(tmp_path / 'sweep', runs, [0, 1, 2], 'accuracy/top1')
    for at, name in enumerate(runs):
        write_classifier(tmp_path / 'sweep' / name / 'seed_0', seed=at)
    written = page.write_page(data.plan, data.out, data.rows)
    content = html.escape((tmp_path / 'sweep' / 'report.html').read_text())
    assert written.endswith('/report.html')
    frames = ''.join(FRAME.format(width, content) for width in (1280, 420))
    wrapper = tmp_path / 'frames.html'
    wrapper.write_text(f'<!doctype html>{frames}{MEASURE}')
    number = dict(dark=0, light=1)[theme]
    command = [
        BROWSER, '--headless', '--no-sandbox', '--disable-gpu',
        f'--user-data-dir={tmp_path}/profile',
        # Whatever it asked for would not be found, and be reported.
        '--host-resolver-rules=MAP * ~NOTFOUND', '--enable-logging=stderr',
        f'--blink-settings=preferredColorScheme={number}',
        '--virtual-time-budget=20000', '--window-size=1400,900',
        '--dump-dom', wrapper.as_uri(),
    ]  # fmt: skip
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=True
    )
    assert 'CONSOLE' not in ended.stderr, ended.stderr
    text = re.search(r'<pre>(\[.*?\])</pre>', ended.stdout, re.S)[1]
    found = json.loads(html.unescape(text))
    assert [frame['width'] for frame in found] == [1280, 420]
    for frame in found:
        assert frame['content'] == frame['shown']
        assert frame['images'] and all(frame['images'])
        assert frame['loaded'] == [] and frame['scripts'] == 0
        assert (frame['paper'] > 0.5) == (theme == 'light')
        for ink in (frame['ink'], frame['drawn']):
            assert abs(ink - frame['paper']) > 0.6
