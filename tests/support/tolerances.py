"""Every tolerance of the tests. Never loosened to make a test pass; a difference above these is a bug."""

# float32 on a CPU: forward passes and losses, gradients and training steps.
FORWARD = 1e-5
GRADIENT = 1e-4
# bfloat16 keeps 8 bits: one rounding is up to 2**-9 of a value, and a layer rounds about a dozen times. So a run in
# bfloat16 is held against float32, by the root mean square of the difference over that of the values, and both
# frameworks must lose about the same. Keras rounds a linear layer twice (the product, then the sum with the bias) where
# torch rounds once, so one may lose up to twice what the other does.
BFLOAT16_LOSS = 2**-5
BFLOAT16_LOSS_RATIO = 2.0
