#!/usr/bin/env bash
# Train on several GPUs of one machine, or of several machines:
#   bash tools/dist_train.sh CONFIG GPUS [option of tools/train.py ...]
# On each machine of several, set NNODES, NODE_RANK, MASTER_ADDR and PORT.
set -euo pipefail

if (($# < 2)); then
    echo "usage: $0 CONFIG GPUS [option of tools/train.py ...]" >&2
    exit 2
fi
config=$1
gpus=$2
shift 2
tools=$(cd "$(dirname "$0")" && pwd)
port=${PORT:-29500}

if [[ "${NODE_RANK:-0}" == 0 ]] \
    && (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    echo "error: The port $port of the distributed run is in use: choose" \
        "another one with PORT=..." >&2
    exit 1
fi

PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}" \
    exec python -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="$port" \
    --nproc_per_node="$gpus" \
    "$tools/train.py" "$config" --launcher pytorch "$@"
