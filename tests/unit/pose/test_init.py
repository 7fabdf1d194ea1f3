"""What `import pose` gives."""

import pytest

import pose


@pytest.mark.parametrize("name", pose.__all__)
def test_every_stable_name_is_there(name):
    assert getattr(pose, name) is not None


def test_functions_are_not_hidden_by_the_modules_of_their_names():
    import pose.privacy.anonymise  # the module of the same name

    assert callable(pose.anonymise)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        pose.nonsense  # noqa: B018
