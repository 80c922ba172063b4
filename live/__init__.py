"""The rule of this package: nothing that it loads calls anybody. Libraries that report home are told not to, here,
before any of them is loaded.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # onnxruntime: neither uploads nor an identifier of the machine on its disk
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # huggingface_hub, while it downloads what somebody asked for
