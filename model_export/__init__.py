"""From a checkpoint to a published bundle.

    checkpoint.py       open a sequence classifier with one label; what its training left beside it
    pooling.py          a decoder's last token, where its configuration does not say what padding is
    detect_format.py    how it reads (prompt, response): pair or chat, as data
    introspect_chat.py  what a chat template does to a conversation
    template.py         renders a stranger's template: a limited process of its own, template_child.py
    to_onnx.py          torch -> ONNX -> fused fp32 or int8
    int8.py             int8 weights whose products are the same integers on every CPU
    fp16.py             fused fp32 -> fp16, and whether its activations stay in range
    verify.py           the file against torch, through the service's own tokenizer and runner
    fit_calibration.py  temperature, power or isotonic on held-out pairs
    bundle.py           statistics, golden inputs, manifest
    publish.py          stage, fsync, rename, move the pointer
    pipeline.py         the whole story: `export`, `recalibrate`

Refuses to publish what it has not verified. Needs the extra `train`, except `publish` and `fit_calibration`.
"""
