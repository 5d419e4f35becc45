"""Chat templates: what they may do, and what they may not."""

import pytest

from services.errors import BadRequestError
from services.generate.chat_template import ChatTemplate

TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b "}]
PLAIN = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}\n{% endfor %}"


def test_the_final_message_can_be_left_open():
    template = ChatTemplate(PLAIN, {"eos_token": "</s>"})
    text = template.render(TURNS, add_generation_prompt=False, continue_final_message=True)
    assert text == "[user]a</s>\n[assistant]b "


def test_what_transformers_gives_to_templates_is_there():
    source = (
        "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m | tojson }}{% endfor %}"
        "{{ strftime_now('%Y') | length }}{% generation %}x{% endgeneration %}{{ documents[0].title }}"
    )
    text = ChatTemplate(source, {}).render(TURNS, variables={"documents": [{"title": "T", "text": "é"}]})
    assert text == '{"role": "user", "content": "a"}4xT'


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ raise_exception('no system role') }}", "no system role"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "fails|unsafe"),
        ("{{ messages.append(1) }}", "fails|unsafe|not safely callable"),
        ("{{ messages[0].nothing.more }}", "nothing"),
        ("{% for %}", "wrong"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ 1 + 'a' }}", "fails"),
    ],
)
def test_a_template_that_fails_is_the_requests_fault(source, message):
    with pytest.raises(BadRequestError, match=message):
        ChatTemplate(source, {}).render(TURNS)


def test_a_model_without_a_template_says_so():
    with pytest.raises(BadRequestError, match="no chat template"):
        ChatTemplate(None, {}).render(TURNS)
