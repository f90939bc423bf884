"""Models of transformers, looped: the peer that families are compared with. Importing it skips without torch."""

import pytest

torch = pytest.importorskip("torch", reason="the peer runs on torch")
transformers = pytest.importorskip("transformers", reason="the peer is transformers")


class FamilyPeer:
    """A transformers model of a config and tensors, whose output enters it again."""

    def __init__(self, config=None, tensors=None, *, model=None):
        if model is None:
            entries = dict(config)
            kind = transformers.AutoConfig.for_model(entries.pop("model_type"), **entries)
            model = transformers.AutoModel.from_config(kind)
            parameters = dict(model.named_parameters())
            parameters = {n: p for n, p in parameters.items() if not n.startswith("pooler")}
            assert set(parameters) == set(tensors)
            with torch.no_grad():
                for name, parameter in parameters.items():
                    parameter.copy_(torch.from_numpy(tensors[name]))
        self.model = model.eval()
        self.family = model.config.model_type

    @property
    def layers(self):
        """The modules of layers, in the order in which they are gone through."""
        m = self.model
        if self.family == "albert":
            groups, count = m.config.num_hidden_groups, m.config.num_hidden_layers
            all_ = m.encoder.albert_layer_groups
            return [all_[k * groups // count] for k in range(count)]
        if self.family == "gpt2":
            return list(m.h)
        if self.family == "distilbert":
            return list(m.transformer.layer)
        return list(m.encoder.layer if self.family == "bert" else m.layers)

    def final(self, h):
        name = {"gpt_neox": "final_layer_norm", "gpt2": "ln_f"}.get(self.family, "norm")
        return (
            h if self.family in ("bert", "distilbert", "albert") else getattr(self.model, name)(h)
        )

    def _calls(self, ids):
        """What each layer is called with, beside the tokens, and the tokens of the first."""
        seen = []

        def hook(module, args, kwargs):
            seen.append((args, dict(kwargs)))

        hooks = [m.register_forward_pre_hook(hook, with_kwargs=True) for m in set(self.layers)]
        try:
            self.model(torch.from_numpy(ids), **({} if self.encoder else {"use_cache": False}))
        finally:
            for h in hooks:
                h.remove()
        start = seen[0][0][0] if seen[0][0] else seen[0][1]["hidden_states"]
        rest = [
            (args[1:], {n: x for n, x in kwargs.items() if n != "hidden_states"})
            for args, kwargs in seen
        ]
        return start, rest

    @property
    def encoder(self):
        return self.family in ("bert", "distilbert", "albert")

    def _attention_alone(self, layer, h, args, kwargs):
        if self.family == "distilbert":
            out = layer.attention(h, *args, **kwargs)[0]
            return layer.sa_layer_norm(out + h)
        inner = layer.albert_layers[0] if self.family == "albert" else layer
        return inner.attention(h, *args, **kwargs)[0]

    def looped(self, ids, passes, feed_forward=True):
        """The tokens before the first block and after each, (prompts, 1 + passes * layers, length, dim)."""
        hooks = []
        if not feed_forward and not self.encoder:
            hooks = [
                layer.mlp.register_forward_hook(lambda _, __, out: 0 * out) for layer in self.layers
            ]
        try:
            with torch.no_grad():
                h, calls = self._calls(ids)
                states = [h]
                for _ in range(passes):
                    for layer, (args, kwargs) in zip(self.layers, calls, strict=True):
                        if self.encoder and not feed_forward:
                            h = self._attention_alone(layer, h, args, kwargs)
                        else:
                            h = layer(h, *args, **kwargs)
                        h = h if torch.is_tensor(h) else h[0]
                        states.append(h)
                    h = self.final(h)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.stack(states, dim=1).numpy()
