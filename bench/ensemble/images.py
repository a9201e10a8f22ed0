"""JPEGs to decode: as large and as detailed as photographs, but nobody's.

images.py FOLDER COUNT writes them.
"""

import os
import sys

try:
    import numpy as np
    from PIL import Image
except ImportError as missing:
    print(f"skipped: {sys.executable} has no {missing.name} (Debian: python3-numpy, python3-pil)")
    sys.exit(77)

SIZES = ((500, 375), (375, 500), (500, 333), (640, 480))


def photo(rng, width, height):
    """Noise on all scales (a 1/f spectrum, as photographs have) over shades."""
    planes = []
    for _ in range(3):
        spectrum = np.fft.rfft2(rng.standard_normal((height, width)))
        y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
        planes.append(np.fft.irfft2(spectrum / np.maximum(np.hypot(x, y), 1 / width), s=(height, width)))
    image = np.stack(planes, axis=2)
    image = 0.6 * image.mean(axis=2, keepdims=True) + 0.4 * image  # colours go together
    return np.clip(128 + 50 * image / image.std(), 0, 255).astype(np.uint8)


def write_folder(folder, count, classes=10):
    rng = np.random.default_rng(1)
    for i in range(count):
        place = os.path.join(folder, f"class{i % classes}")
        os.makedirs(place, exist_ok=True)
        Image.fromarray(photo(rng, *SIZES[i % len(SIZES)])).save(os.path.join(place, f"{i:05}.jpg"), quality=90)


if __name__ == "__main__":
    write_folder(sys.argv[1], int(sys.argv[2]))
