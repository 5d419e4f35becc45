"""`ragline eval`: how good the answers are, and which stage loses what, measured without a model that judges."""
