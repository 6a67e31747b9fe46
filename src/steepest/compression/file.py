import io

import torch


def packed(state):
    b = io.BytesIO()
    torch.save(dict(state), b)
    return b.getvalue()
