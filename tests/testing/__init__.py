"""Toy environments and tests of al_gym.testing; imported as `testing` by other tests."""
