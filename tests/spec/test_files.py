"""Cases in files: read strictly, written and read back equal."""

import json

import pytest

import attnflow as af

SMALL = """
[manifold]
dim = 3

[tokens]
count = 8

[attention]
P = 1.0
"""


def write(folder, text, name="case.toml"):
    path = folder / name
    path.write_text(text)
    return path


def refused(folder, text, name="case.toml") -> str:
    """The one line that a bad file is refused with, less the file's own name."""
    path = write(folder, text, name)
    with pytest.raises(ValueError, match=r".") as caught:
        af.spec.read(path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{path}: ")
    return line.removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", af.spec.names())
@pytest.mark.parametrize("ending", [".toml", ".json"])
def test_ready_cases_are_read_by_name_and_come_back_equal_from_a_file(tmp_path, name, ending):
    case = af.spec.read(name)
    af.spec.write(tmp_path / f"copy{ending}", case)
    assert af.spec.read(tmp_path / f"copy{ending}") == case


def test_the_figures_of_the_paper_and_the_triangle_are_among_the_ready_cases():
    assert {"figure2", "figure5", "triangle"} <= set(af.spec.names())


@pytest.mark.parametrize("name", af.spec.names())
def test_every_ready_case_says_what_it_is(name):
    assert af.spec.read(name).title


def test_a_json_file_is_read_like_a_toml_one(tmp_path):
    text = json.dumps({"manifold": {"dim": 3}, "tokens": {"count": 8}, "attention": {"P": 1.0}})
    toml, other = write(tmp_path, SMALL), write(tmp_path, text, "case.json")
    assert af.spec.read(toml) == af.spec.read(other)


def test_what_is_left_out_is_not_written(tmp_path):
    af.spec.write(tmp_path / "out.toml", af.spec.read(write(tmp_path, SMALL)))
    text = (tmp_path / "out.toml").read_text()
    assert "null" not in text
    assert "seed" not in text


# === bad input


def test_an_unknown_key_is_named_with_its_table(tmp_path):
    line = refused(tmp_path, SMALL + "masks = 'causal'\n")
    assert line == "$.attention: Object contains unknown field `masks`"


def test_an_unknown_table_is_named(tmp_path):
    assert "unknown field `tokenz`" in refused(tmp_path, SMALL + "[tokenz]\n")


def test_an_unknown_mask_is_named(tmp_path):
    assert "$.attention.mask: Invalid enum value 'casual'" in refused(
        tmp_path, SMALL + "mask = 'casual'\n"
    )


def test_a_missing_table_is_named(tmp_path):
    line = refused(tmp_path, SMALL.replace("[tokens]\ncount = 8\n", ""))
    assert line == "Object missing required field `tokens`"


def test_a_wrong_type_is_named_with_its_place(tmp_path):
    line = refused(tmp_path, SMALL.replace("count = 8", "count = 'eight'"))
    assert line == "$.tokens.count: Expected `int | null`, got `str`"


def test_a_number_out_of_bounds_is_named_with_its_place(tmp_path):
    assert "$.tokens.count: Expected `int` >= 1" in refused(
        tmp_path, SMALL.replace("count = 8", "count = 0")
    )


def test_a_syntax_error_is_told_with_its_line(tmp_path):
    assert "line 3" in refused(tmp_path, SMALL.replace("dim = 3", "dim = "))


def test_text_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "case.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"case\.toml: "):
        af.spec.read(path)


def test_an_error_deep_in_a_schedule_has_its_whole_path(tmp_path):
    line = refused(
        tmp_path,
        SMALL.replace("P = 1.0", "")
        + """
        [attention.P]
        type = "modulated"
        matrix = [[1.0]]
        diagonal = { type = "sinusoid", amplitude = 1.0, omga = 2.0 }
        """,
    )
    assert line == "$.attention.P.diagonal: Object contains unknown field `omga`"


def test_an_unknown_schedule_is_named(tmp_path):
    line = refused(tmp_path, SMALL.replace("P = 1.0", "P = { type = 'sawtooth' }"))
    assert line == "$.attention.P.type: Invalid value 'sawtooth'"


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (
            "{ type = 'symmetric' }",
            "$.attention.P: Object missing required field `schedule`",
        ),
        (
            "{ type = 'periodic', schedule = 1.0, period = 1.0, periods = 2.5 }",
            "$.attention.P.periods: Expected `int`, got `float`",
        ),
        (
            "{ type = 'piecewise', times = [1.0], values = { type = 'uniform', shape = [0] } }",
            "$.attention.P.values.shape[0]: Expected `int` >= 1",
        ),
        (
            "{ type = 'piecewise', times = [1.0], values = { type = 'normal', shape = [2] } }",
            "$.attention.P.values.type: Invalid value 'normal'",
        ),
    ],
)
def test_a_mistake_in_a_schedule_is_named_with_its_place(tmp_path, table, reason):
    assert refused(tmp_path, SMALL.replace("P = 1.0", f"P = {table}")) == reason


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        ("[[1.0, 2.0], [3.0]]", "rows of different lengths"),
        ("[[1.0, 'two']]", "got 'two' in it"),
        ("[[1.0, {}]]", "got a table in it"),
    ],
)
def test_a_ragged_or_mixed_array_is_refused(tmp_path, matrix, reason):
    line = refused(tmp_path, SMALL.replace("P = 1.0", f"P = {matrix}"))
    assert line.startswith("$.attention: `P` must be")
    assert reason in line


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("dim = 3", "", "$.manifold: give `dim` (a sphere) or `W`"),
        ("dim = 3", "dim = 3\nW = [[1.0]]", "$.manifold: give `dim` (a sphere) or `W`"),
        ("count = 8", "", "$.tokens: give `count` (random tokens) or `rows`"),
        ("count = 8", "count = 8\nrows = [[1.0]]", "$.tokens: give `count`"),
        ("count = 8", "count = 8\nv = [1.0, 0, 0]", "$.tokens: `v` is for law"),
        ("count = 8", "count = 8\nproject = true", "$.tokens: `project` is for `rows`"),
        ("P = 1.0", "P = 1.0\n[time]\nt1 = -1.0", "$.time: `t1` must be after `t0`; got -1 and 0"),
        (
            "P = 1.0",
            "P = 1.0\n[output]\nobserve = ['lyapunov']",
            "$.output: `v` and the observable",
        ),
        ("P = 1.0", "P = 1.0\n[output]\nv = [1.0, 0, 0]", "$.output: `v` and the observable"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(tmp_path, old, new, reason):
    assert refused(tmp_path, SMALL.replace(old, new)).startswith(reason)


def test_an_unknown_name_is_refused_with_the_ready_ones():
    with pytest.raises(
        ValueError, match=r"`figure3` is neither .* figure2, figure4, figure5, triangle"
    ):
        af.spec.read("figure3")


def test_a_missing_file_is_an_os_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.toml"):
        af.spec.read(tmp_path / "absent.toml")


def test_another_ending_is_refused_on_writing(tmp_path):
    with pytest.raises(ValueError, match=r"`path` must end in \.toml or \.json; got .*case\.yaml"):
        af.spec.write(tmp_path / "case.yaml", af.spec.read("triangle"))
