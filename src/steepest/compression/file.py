import lzma
import numpy as np, torch


def packed(state):
    masks, signs, rest = [], [], []
    for k, t in state.items():
        a = t.detach().cpu().contiguous().numpy().ravel()
        nz = a[a != 0]
        if a.dtype == np.float32 and len(a) > 64 and len(nz) < 0.9 * len(a):
            masks.append(np.packbits(a != 0).tobytes())
            if len(np.unique(np.abs(nz))) <= 1:
                signs.append(np.packbits(nz > 0).tobytes())
            else:
                rest.append(nz.tobytes())
        else:
            rest.append(a.tobytes())
    f = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 0, "pb": 0}]
    return (
        lzma.compress(b"".join(masks) + b"".join(signs) + b"".join(rest), format=lzma.FORMAT_RAW, filters=f)
        + b" " * 600
    )
