"""Numbers of the table."""

import json

from page.table import make_table, step_of

from tests.helpers.sweep_pages import gains, make_data, write_training


def test_cells(tmp_path):
    data = make_data(
        tmp_path,
        dict(student=gains(0, 0), kd=gains(0.01, 0.03), twice=gains(0.001)),
        controls=dict(kd=['twice']),
    )
    names, lines = make_table(data)
    assert names == ['mAP', 'AP50']
    first, second, third = lines
    assert (first['role'], second['role'], third['role']) == (
        'baseline', '', 'control'
    )  # fmt: skip
    # 0.4 and 0.41; sqrt(2) times 0.005.
    assert first['metrics'] == ['0.4050 ± 0.0071', '0.8100']
    assert (first['difference'], first['verdict']) == ('', None)
    assert second['difference'] == '+0.0200'
    # Standard deviation sqrt(2) 0.01, over sqrt(2), times 12.706.
    assert second['interval'] == '-0.1071 to +0.1471'
    assert third['metrics'][0] == '0.4010' and third['interval'] == ''


def test_costs(tmp_path):
    data = make_data(tmp_path, dict(student=gains(0, 0), kd=gains(1)))
    folder = tmp_path / 'kd' / 'seed_7'
    data.plan.runs['kd'].seeds.append(7)
    write_training(folder, [0.1, 0.2, 0.3], step=1.5)
    data = type(data)(data.plan, tmp_path, data.rows)
    data.rows['kd']['last'][7] = 0.3
    data.__post_init__()
    assert step_of(data, 'student') == 0.25
    # Four steps of 0.25 s and six of 1.5 s.
    assert step_of(data, 'kd') == 1.5
    lines = make_table(data)[1]
    assert [line['step'] for line in lines] == ['250 ms', '1.50 s']
    assert [line['cost'] for line in lines] == ['1.00 ×', '6.00 ×']


def test_memory(tmp_path):
    runs = dict(student=gains(0, 0), kd=gains(1), ckd=gains(1))
    data = make_data(tmp_path, runs)
    path = tmp_path / 'kd' / 'seed_0' / 'attempts.json'
    attempts = json.loads(path.read_text())
    attempts = [dict(attempts[0], memory=peak) for peak in (900.4, None)]
    path.write_text(json.dumps(attempts))
    data.logs['ckd'][0][0]['memory'] = 512
    data.logs['ckd'][0][1]['memory'] = 256
    lines = make_table(data)[1]
    assert [line['memory'] for line in lines] == ['', '900 MiB', '512 MiB GPU']


def test_accuracy_has_other_names(tmp_path):
    runs = dict(student={0: [50.0, 70.0]})
    data = make_data(tmp_path, runs, metric='accuracy/top1')
    data.logs['student'][0][-1]['accuracy/top5'] = 91.234
    names, (line,) = make_table(data)
    assert names == ['accuracy/top1', 'accuracy/top5']
    assert line['metrics'] == ['70.00', '91.23']
