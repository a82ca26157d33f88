#!/usr/bin/env bash
# hydra-ray-launcher puts object_store_memory into ray.init, which a Ray cluster that runs already refuses; null for it is taken.
set -euo pipefail
folder=$(mktemp -d)
python3 -m venv "$folder/venv"
trap '"$folder/venv/bin/ray" stop >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
"$folder/venv/bin/pip" install -q hydra-core==1.3.8 hydra-ray-launcher==1.2.2 ray==2.60.0
cd "$folder" && export PATH="$folder/venv/bin:$PATH"
pip list 2>/dev/null | grep -iE "^(hydra-|ray )"
cat > app.py <<'PY'
import hydra
from omegaconf import DictConfig

@hydra.main(version_base="1.3", config_path=None)
def app(config: DictConfig) -> None:
    print("job", config.x)

app()
PY
ray start --head --num-cpus 1 --include-dashboard false --port 6398 >/dev/null
command="python app.py -m +x=1 hydra/launcher=ray hydra.launcher.ray.init.address=auto"
echo "== as it is"
if $command > first.log 2>&1; then echo "it joined the cluster: changed"; exit 1; fi
grep "object_store_memory" first.log
echo "== with +hydra.launcher.ray.init.object_store_memory=null"
$command +hydra.launcher.ray.init.object_store_memory=null 2>&1 | grep -o "job 1"
