"""The tokenizer in pure Python, readable as the specification of what text becomes which ids."""
