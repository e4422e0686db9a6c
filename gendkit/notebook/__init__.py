"""For the notebook: pictures and widgets."""
