#!/usr/bin/env bash
# Evaluate on several GPUs of one machine, or of several machines:
#   bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [option of tools/test.py ...]
# On each machine of several, set NNODES, NODE_RANK, MASTER_ADDR and PORT.
set -euo pipefail

if (($# < 3)); then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [option of tools/test.py ...]" >&2
    exit 2
fi
config=$1
checkpoint=$2
gpus=$3
shift 3
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
    "$tools/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
