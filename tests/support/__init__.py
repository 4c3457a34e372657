"""What tests share: where the fixtures are, how close is close enough, and how to run a framework beside another."""
