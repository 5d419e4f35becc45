"""Where a model runs: encoders give rows, generators give tokens. Engines know arrays, never strings or HTTP."""
