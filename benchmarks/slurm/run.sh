#!/usr/bin/env bash
# A SLURM of one node on loopback (Debian: slurm-wlm, munge), started here, used and stopped again: an array of equal commands
# on one grid, one task of which is requeued while it works; a job that meets its time limit and goes on after it; and a grid
# by hydra/launcher=submitit_slurm (pip install 'franken[slurm]') whose jobs meet theirs.
#
#   [PARTS="array limit submitit"] benchmarks/slurm/run.sh [DIRECTORY]     # as root; ten to fifteen minutes, nearly all waiting
set -euo pipefail

work=$(realpath -m "${1:-outputs/slurm}")
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python}
export PYTHONPATH=$root OMP_NUM_THREADS=1 SLURM_CONF=$work/slurm.conf
rm -rf "$work"
mkdir -p "$work"/{spool,state,munge}
cd "$work"
node=$(hostname -s)

dd if=/dev/urandom of=munge/key bs=1 count=1024 status=none
chmod 700 munge && chmod 400 munge/key
cat > slurm.conf <<CONF
ClusterName=loopback
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmdSpoolDir=$work/spool
StateSaveLocation=$work/state
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SlurmdParameters=config_overrides
MpiDefault=none
JobRequeue=1
ReturnToService=2
KillWait=20
SchedulerParameters=batch_sched_delay=1,sched_interval=5
NodeName=$node NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF

started=()
stop() {
  scancel --me 2>/dev/null && sleep 2 || true
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
}
trap stop EXIT
background() { "$@" >> "daemons.log" 2>&1 & started+=($!); }
background munged --foreground --force --key-file=munge/key --socket=munge/socket --pid-file=munge/pid \
  --log-file=munge/log --seed-file=munge/seed
until [ -S munge/socket ]; do sleep 0.2; done
background slurmctld -D
background slurmd -D -N "$node"
until sinfo -h -o %T 2>/dev/null | grep -q idle; do sleep 1; done
sinfo

say() { printf '\n== %s\n' "$*"; }
settled() { ! squeue -h -j "$1" 2>/dev/null | grep -q .; }
wait_for() { until settled "$1"; do sleep 2; done; }

tiny="base_model.settings.hidden_size=32 base_model.settings.intermediate_size=64 base_model.settings.num_hidden_layers=2
  base_model.tokenizer.size=1200 data.languages=[ka] data.sentences=300 data.documents=60 data.parallel=60
  data.instructions=100 data.evaluation=8 trainer.threads=1 eval_suite=smoke logger=none store.path=store
  training.pretraining.batch_size=4 training.pretraining.sequence_length=64"

parts=" ${PARTS:-array limit submitit} "
if [[ $parts = *" array "* ]]; then
say "an array of three equal commands, one of them requeued while it works"
cat > grid.sh <<JOB
#!/bin/bash
#SBATCH --array=0-2 --requeue --cpus-per-task=1 --output=grid-%a.out --open-mode=append
$python -m franken -m init_method=subtoken_mean,mean,random_normal,lexicon 'recipe.evaluate=[initial]' \
  training.pretraining.steps=20 hydra.sweep.dir=grid sweep.take=free $(echo $tiny)
JOB
array=$(sbatch --parsable grid.sh)
until squeue -h -t R -j "${array}_1" 2>/dev/null | grep -q . && ls grid/taken/*.json >/dev/null 2>&1; do sleep 1; done
sleep "${REQUEUE_AFTER:-10}"
scontrol requeue "${array}_1"
echo "requeued ${array}_1"
wait_for "$array"
grep -h "jobs:" grid-*.out
grep -hE "^base: |^vocabulary: " grid-*.out
ls grid/*/status.json
fi

if [[ $parts = *" limit "* ]]; then
say "a job over its time limit, which goes on when it is requeued"
cat > long.sh <<JOB
#!/bin/bash
#SBATCH --time=2 --signal=USR1@60 --requeue --cpus-per-task=1 --output=long.out --open-mode=append
srun $python -m franken 'recipe.evaluate=[base]' training.pretraining.steps=${STEPS:-4000} \
  hydra.run.dir=long/\$SLURM_RESTART_COUNT $(echo $tiny)
code=\$?
echo "exit code \$code after \$SECONDS s, start \${SLURM_RESTART_COUNT:-0}"
[ \$code = 75 ] && scontrol requeue \$SLURM_JOB_ID
exit \$code
JOB
long=$(sbatch --parsable long.sh)
wait_for "$long"
grep -E "exit code|ended by|^base|DUE TO" long.out
fi

if [[ $parts = *" submitit "* ]]; then
say "a grid by hydra/launcher=submitit_slurm, whose jobs meet their time limit and go on"
$python -m franken -m seed=0,1 'recipe.evaluate=[base]' training.pretraining.steps="${STEPS:-4000}" $(echo $tiny) \
  hydra/launcher=submitit_slurm hydra.launcher.timeout_min=2 hydra.launcher.signal_delay_s=60 hydra.launcher.cpus_per_task=1 |
  grep -A3 "jobs:"
grep -hE "Caught signal|ended by|step [0-9]+ of" outputs/multirun/adhoc/*/.submitit/*/*_log.{out,err} | cut -c 1-200 || true
fi
