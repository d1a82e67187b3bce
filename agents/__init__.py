"""Code that learns policies with stable-baselines3. Not part of the wheel; `al_gym` never imports it."""
