# Do the losses of one-stage detectors train a student? A small GFL on blood
# cells with one seed per method, to see that each works, and which to look at.
#
# The rule, written before the runs: the method with the highest mAP on the
# validation images gets seeds 0 to 2; what is said of it
# is the difference on the test images. One seed of the others shows nothing
# but that they train.
#
# First train the teacher, as docs/datasets/bccd.md says, then
#   python tools/sweep/sweep.py tools/sweep/plans/one_stage.py --jobs 2
#   python tools/sweep/sweep.py tools/sweep/plans/one_stage.py \
#       --report-only --metric test/bbox_mAP

seeds = [0]
metric = 'coco/bbox_mAP'
baseline = 'student'
common = {
    'custom_imports.imports': ['mmkd_plugin', 'final_test'],
    'default_hooks.test.type': 'TestAtEnd',
    'test_evaluator.prefix': 'test',
}
methods = ['bckd', 'ld', 'crosskd', 'pkd', 'ckd', 'binaryrld', 'binarydkd']
# The method with three seeds, by the rule.
best = 'crosskd'

runs = dict(student=dict(config='configs/bccd/gfl_r18w8.py', seeds=[0, 1, 2]))
for method in methods:
    runs[method] = dict(
        config=f'configs/bccd/gfl_r18w32_r18w8_{method}.py',
        seeds=[0, 1, 2] if method == best else [0],
    )
