"""Inside a trained network: what each unit does, which units follow a feature of the text, and what they are good for."""
