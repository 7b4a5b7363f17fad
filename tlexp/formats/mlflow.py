"""`--format mlflow`: a folder for `mlflow models serve`, which holds the package and so needs no tlexp installed."""

from pathlib import Path

from tlexp.formats.format import Format, Trained
from tlexp.tracking import PyfuncModel
from tlexp.tracking.library import load_mlflow
from tlexp.tracking.pyfunc import save_pyfunc

_SNIPPET = """\
import io

import mlflow.pyfunc
import pandas as pd
from PIL import Image

model = mlflow.pyfunc.load_model(".")
classes = model.metadata.get_output_schema().input_names()


def encoded(image):
    \"\"\"Return the bytes of an image file; those of a photograph do as well.\"\"\"
    file = io.BytesIO()
    image.save(file, format="BMP")
    return file.getvalue()


def probabilities(images):
    \"\"\"Return one row per image and one column per class.\"\"\"
    return model.predict(pd.DataFrame({"image": [encoded(image) for image in images]})).to_numpy()
"""
_ABOUT = """\
Serve it with MLflow's own server, on this machine alone:

```
mlflow models serve -m . --env-manager local --host 127.0.0.1 --port 5001
```

and send photographs as base64, or one array of images (B, H, W, 3) of numbers from 0 to 255:

```python
import base64
import json
import urllib.request
from pathlib import Path


def asked(body):
    \"\"\"Return one dictionary per image: class -> probability.\"\"\"
    request = urllib.request.Request(
        "http://127.0.0.1:5001/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["predictions"]


photo = base64.b64encode(Path("photo.jpg").read_bytes()).decode()
asked({"dataframe_split": {"columns": ["image"], "data": [[photo]]}})
asked({"inputs": [[[[0, 0, 0], [255, 255, 255]], [[255, 255, 255], [0, 0, 0]]]]})
```

An image that cannot be read is answered with status 400 and its row. Whoever reaches the port can ask: there is no
password, so leave it on 127.0.0.1 or put a proxy in front."""


def _write(trained: Trained, folder: Path) -> None:
    load_mlflow(models=True, stores=False)
    save_pyfunc(PyfuncModel(folder=trained.folder, classes=trained.card.classes), folder)


FORMAT = Format(write=_write, snippet=lambda card: _SNIPPET, about=lambda card: _ABOUT)
