"""The arrays that images are spoken of in: N images, K classes."""

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
"""Places of images among others, (N,) int64."""
Labels = NDArray[np.int64]
"""The class of each image, 0..K-1, (N,) int64."""
Logits = NDArray[np.float32]
"""What a head gives for each image, (N, K) float32."""
