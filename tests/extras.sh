#!/usr/bin/env bash
# Install nversion with each extra in an environment of its own, and use what the extra is for. Takes minutes and
# some GB in a temporary folder; outside the suite. Usage: tests/extras.sh [EXTRA ...]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/plain"
"$work/plain/bin/pip" install --quiet --disable-pip-version-check -c "$root/constraints.txt" "$root"
site=$("$work/plain/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

declare -A use=(
  [plain]='import numpy as np, torch, nversion as nv
rng = np.random.default_rng(0); labels = rng.integers(0, 4, 20); logits = rng.normal(size=(3, 20, 4))
print(nv.Predictions.from_arrays(logits, labels), nv.metrics.kappa(logits, labels))
images = rng.integers(0, 256, (20, 8, 8, 3), np.uint8); net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4))
import tempfile
with tempfile.TemporaryDirectory() as folder: print(nv.predict({"a": net}, (images, labels), {"lines": 2}, folder=folder))
from nversion.ensembles import Ensembles; from nversion.losses import LOSSES; print(len(LOSSES))'
  [evaluate]='import nversion.evaluation, polars; print(nversion.evaluation)'
  [models]='import nversion as nv; print(nv.models.load_classifier({"source": "timm:mobilenetv3_small_050", "pretrained": False}).name)
print(nv.models.load_classifier({"source": "torchvision:squeezenet1_1", "weights": "none"}).name)'
  [report]='import nversion.report; print(nversion.report.build)'
  [study]='import subprocess, sys; from pathlib import Path
nversion = str(Path(sys.executable).with_name("nversion"))
subprocess.run([nversion, "doctor"], check=True); subprocess.run([nversion, "corruptions", "ls"], check=True)'
  [train]='import nversion.training.run, lightning_fabric, lightly; print(nversion.training.run.launched)'
  [nas]='import nversion.supernet.nas.nsga, pymoo; print(pymoo.__version__)'
  [metrics]='import nversion as nv; print(nv.metrics.Disagreement(num_models=2))'
  [albumentations]='import albumentations, nversion.corruptions; print(nversion.corruptions.wrap)'
)
for extra in "${@:-plain evaluate models report study train nas metrics albumentations}"; do
  for one in $extra; do
    environment="$work/$one"
    if [ "$one" != plain ]; then
      python3 -m venv "$environment"
      # torch and what comes with it are those of the plain environment; the extra's packages are its own.
      echo "$site" > "$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/plain.pth"
      "$environment/bin/pip" install --quiet --disable-pip-version-check -c "$root/constraints.txt" "$root[$one]"
    fi
    (cd "$work" && "$environment/bin/python" -W ignore -c "${use[$one]}") > "$work/out" 2>&1 || { cat "$work/out"; echo "failed: $one"; exit 1; }
    echo "ok: $one ($("$environment/bin/pip" list --format=freeze --disable-pip-version-check 2> /dev/null | wc -l) packages)"
    [ "$one" = plain ] || rm -rf "$environment"
  done
done
