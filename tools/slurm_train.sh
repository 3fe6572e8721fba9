#!/usr/bin/env bash
# Train under Slurm:
#   bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [WORK_DIR] [option ...]
# Options are those of tools/train.py. Set GPUS (8 in all), GPUS_PER_NODE (8),
# CPUS_PER_TASK (5) and SRUN_ARGS (further options of srun) as needed.
set -euo pipefail

if (($# < 3)); then
    echo "usage: $0 PARTITION JOB_NAME CONFIG [WORK_DIR]" \
        "[option of tools/train.py ...]" >&2
    exit 2
fi
partition=$1
job_name=$2
config=$3
shift 3
work_dir=()
if (($# > 0)) && [[ $1 != -* ]]; then
    work_dir=(--work-dir "$1")
    shift
fi
tools=$(cd "$(dirname "$0")" && pwd)
gpus=${GPUS:-8}
gpus_per_node=${GPUS_PER_NODE:-8}
if ((gpus < gpus_per_node)); then
    gpus_per_node=$gpus
fi
read -r -a srun_args <<<"${SRUN_ARGS:-}"

PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}" \
    exec srun \
    --partition="$partition" \
    --job-name="$job_name" \
    --gres="gpu:$gpus_per_node" \
    --ntasks="$gpus" \
    --ntasks-per-node="$gpus_per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${srun_args[@]+"${srun_args[@]}"} \
    python -u "$tools/train.py" "$config" \
    ${work_dir[@]+"${work_dir[@]}"} --launcher slurm "$@"
