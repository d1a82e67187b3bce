"""A PPO loop in CleanRL's manner, plain torch on the native vector environment, for every registered id."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch

import al_gym  # noqa: F401 - registers the environments

IDS = sorted(name for name in gym.registry if name.startswith("al_gym/"))
SMALL = {"tasks": "synthetic-small", "pool_size": 60, "validation_size": 40, "budget": 15, "batch_choices": [2, 5, 10]}


class Agent(torch.nn.Module):
    """The networks of CleanRL's ppo.py for Discrete, MultiDiscrete and Box actions."""

    def __init__(self, envs):
        super().__init__()
        space, width = envs.single_action_space, int(np.prod(envs.single_observation_space.shape))
        self.continuous = isinstance(space, gym.spaces.Box)
        self.sizes = [int(np.prod(space.shape))] if self.continuous else np.atleast_1d(getattr(space, "nvec", None))
        if not self.continuous and isinstance(space, gym.spaces.Discrete):
            self.sizes = [int(space.n)]
        self.flat = isinstance(space, gym.spaces.Discrete)
        self.critic, self.actor = (
            torch.nn.Sequential(
                torch.nn.Flatten(), torch.nn.Linear(width, 32), torch.nn.Tanh(), torch.nn.Linear(32, outputs)
            )
            for outputs in (1, int(sum(self.sizes)))
        )

    def act(self, observations, actions=None):
        outputs = self.actor(observations)
        if self.continuous:
            normal = torch.distributions.Normal(outputs, 0.5)
            actions = normal.sample().clamp(-1, 1) if actions is None else actions
            return actions, normal.log_prob(actions).sum(1), normal.entropy().sum(1)
        parts = [torch.distributions.Categorical(logits=p) for p in outputs.split([int(s) for s in self.sizes], dim=1)]
        if actions is None:
            actions = torch.stack([part.sample() for part in parts], dim=1)
        log_prob = sum(part.log_prob(actions[:, i]) for i, part in enumerate(parts))
        return actions, log_prob, sum(part.entropy() for part in parts)

    def to_env(self, actions):
        return actions[:, 0].numpy() if self.flat else actions.numpy()


@pytest.mark.parametrize("env_id", IDS)
def test_cleanrl_style_ppo(env_id):
    torch.manual_seed(0)
    num_envs, num_steps, gamma, lam = 4, 12, 0.99, 0.95
    envs = gym.make_vec(env_id, num_envs=num_envs, autoreset_mode="SameStep", **SMALL)
    agent = Agent(envs)
    optimizer = torch.optim.Adam(agent.parameters(), lr=1e-3)
    start = torch.nn.utils.parameters_to_vector(agent.parameters()).detach().clone()
    returns, lengths, episodes = np.zeros(num_envs), np.zeros(num_envs, int), []
    next_obs = torch.as_tensor(envs.reset(seed=1)[0])
    next_done = torch.zeros(num_envs)
    for _ in range(2):
        steps = []
        for _ in range(num_steps):
            with torch.no_grad():
                actions, log_prob, _ = agent.act(next_obs)
                value = agent.critic(next_obs).squeeze(1)
            obs, rewards, terminated, truncated, infos = envs.step(agent.to_env(actions))
            steps.append((next_obs, actions, log_prob, torch.as_tensor(rewards).float(), next_done, value))
            returns, lengths = returns + rewards, lengths + 1
            ended = terminated | truncated
            assert ("final_info" in infos) == ended.any()
            for i in np.flatnonzero(ended):
                assert infos["_final_info"][i]
                assert envs.single_observation_space.contains(infos["final_obs"][i])
                episodes.append((returns[i], lengths[i]))
                returns[i], lengths[i] = 0, 0
            next_obs, next_done = torch.as_tensor(obs), torch.as_tensor(ended).float()
        observations, actions, log_probs, rewards, dones, values = map(torch.stack, zip(*steps, strict=True))
        with torch.no_grad():
            advantages, last = torch.zeros_like(rewards), torch.zeros(num_envs)
            following, alive = agent.critic(next_obs).squeeze(1), 1 - next_done
            for t in reversed(range(num_steps)):
                last = rewards[t] + gamma * following * alive - values[t] + gamma * lam * alive * last
                advantages[t], following, alive = last, values[t], 1 - dones[t]
        flat = [x.flatten(0, 1) for x in (observations, actions, log_probs, advantages, advantages + values)]
        for batch in torch.randperm(num_envs * num_steps).split(16):
            obs_b, act_b, old_b, adv_b, ret_b = (x[batch] for x in flat)
            _, log_prob, entropy = agent.act(obs_b, act_b)
            ratio = (log_prob - old_b).exp()
            policy_loss = torch.max(-adv_b * ratio, -adv_b * ratio.clamp(0.8, 1.2)).mean()
            value_loss = 0.5 * (agent.critic(obs_b).squeeze(1) - ret_b).square().mean()
            loss = policy_loss + 0.5 * value_loss - 0.01 * entropy.mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            assert torch.isfinite(loss)
    assert len(episodes) >= num_envs
    assert all(np.isfinite(episode_return) and length >= 2 for episode_return, length in episodes)
    assert not torch.equal(start, torch.nn.utils.parameters_to_vector(agent.parameters()))
