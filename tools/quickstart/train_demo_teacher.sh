#!/usr/bin/env bash
# Retrain the teacher of the demo: make its scenes, train it (about 20 minutes
# on one CPU core), and write the half-precision weights that ship.
#   bash tools/quickstart/train_demo_teacher.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python}
WORK=${WORK:-work_dirs/frcnn_r18w24}
export OMP_NUM_THREADS=1 CUDA_VISIBLE_DEVICES='' PYTHONPATH=$PWD

$PYTHON tools/quickstart/make_digits.py --splits extra val
$PYTHON tools/train.py configs/demo/frcnn_r18w24.py --work-dir "$WORK"
$PYTHON tools/model_converters/shrink_checkpoint.py "$(cat "$WORK/last_checkpoint")" \
    configs/demo/frcnn_digits_teacher.pth
