from argparse import ArgumentParser

import pytest

from mmtal_mts.apis import CfgOptionsAction


def parse(*arguments):
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptionsAction)
    return parser.parse_args(['--cfg-options', *arguments]).cfg_options


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('my data/a b.json', 'my data/a b.json'),
        ('"my data/"', 'my data/'),
        ('runs/a (1)/b', 'runs/a (1)/b'),
        ('runs/a [1]', 'runs/a [1]'),
        ('a=b', 'a=b'),
        ('', ''),
        ('1e-3', 0.001),
        (' 7 ', 7),
        ('true', True),
        ('None', None),
        ('1,2', [1, 2]),
        ('[1, 2]', [1, 2]),
        ('"[1, 2]"', [1, 2]),
        ('( 1 , 2 )', (1, 2)),
        ('[(1, 2), [walk, jump in place]]', [(1, 2), ['walk', 'jump in place']]),
        ('wave one hand, run', ['wave one hand', 'run']),
    ],
)
def test_values(text, value):
    parsed = parse(f'a.b={text}')
    assert parsed == {'a.b': value}
    assert type(parsed['a.b']) is type(value)


def test_later_settings_are_added():
    assert parse('a=1', '--cfg-options', 'b=x y', 'a=2') == {'a': 2, 'b': 'x y'}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['train.lr'], "'train.lr' is not KEY=VALUE"),
        (['=3'], "'=3' is not KEY=VALUE"),
        (['a', '=', '3'], "'a' is not KEY=VALUE"),
        (['a=[1, 2'], 'rackets'),
    ],
)
def test_what_is_no_setting_is_named(capsys, arguments, message):
    with pytest.raises(SystemExit) as exit_:
        parse(*arguments)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
