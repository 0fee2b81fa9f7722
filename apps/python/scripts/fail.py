def inner(value):
    return value.missing


def outer():
    return inner(7)


outer()
