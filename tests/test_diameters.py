import pytest
from platformdirs import user_config_path

from napari_cryoet.diameters import (
    DEFAULT_DIAMETER_ANGSTROM,
    diameter_angstrom,
    diameters_problem,
    forget_diameter,
    known_diameters,
    reset_diameters,
    set_diameter,
)
from napari_cryoet.exceptions import FormatError


@pytest.mark.parametrize(
    ("object_id", "object_name", "expected"),
    [
        ("GO:0022626", "whatever", 300),
        ("go:0022626", None, 300),
        (None, "Cytosolic_Ribosome", 300),
        ("GO:0005835", "fatty acid synthase complex", 260),
        ("CDPO:1234567", "ferritin complex", 120),
        ("UniProtKB:P10537", "whatever", 130),
        ("P10537", None, 130),
        ("uniprot:p10537", None, 130),
        ("CDPO:1234567", "Snoopy", DEFAULT_DIAMETER_ANGSTROM),
        (None, None, DEFAULT_DIAMETER_ANGSTROM),
    ],
)
def test_an_object_is_known_by_its_id_or_else_its_name(object_id, object_name, expected):
    assert diameter_angstrom(object_id, object_name) == expected


class TestTheUsersOwn:
    def test_a_built_in_diameter_can_be_changed_by_any_of_its_words_and_holds_for_all(self):
        set_diameter("80S Ribosome", 310)

        assert diameter_angstrom("GO:0022626") == diameter_angstrom(None, "ribosome") == 310
        assert diameter_angstrom("GO:0005761") == 250
        changed = [known for known in known_diameters() if known.is_changed]
        assert [(known.words[0], known.diameter_angstrom, known.built_in_angstrom) for known in changed] == [
            ("GO:0022626", 310, 300)
        ]

    def test_an_object_can_be_added_by_id_or_name(self):
        set_diameter("UniProtKB:P12345", 77)
        set_diameter("My  Protein", 55)

        assert diameter_angstrom("uniprotkb:P12345") == 77
        assert diameter_angstrom(None, "my_protein") == 55
        assert [known.words for known in known_diameters()[:2]] == [("My Protein",), ("UniProtKB:P12345",)]

    def test_it_can_be_forgotten_one_by_one_or_as_a_whole(self):
        set_diameter("ribosome", 310)
        set_diameter("proteasome", 160)
        set_diameter("mine", 60)
        forget_diameter("ribosome")
        assert (diameter_angstrom(None, "ribosome"), diameter_angstrom(None, "proteasome")) == (300, 160)
        reset_diameters()
        assert not any(known.is_changed for known in known_diameters())
        reset_diameters()

    def test_what_is_set_back_is_no_change(self):
        set_diameter("ribosome", 310)
        set_diameter("ribosome", 300)

        assert not any(known.is_changed for known in known_diameters())

    @pytest.mark.parametrize("word", ["P00760", "p00760", "UniProt:P00760", "UniProtKB:P00760"])
    def test_an_accession_of_uniprot_means_the_portals_id_however_it_is_written(self, word):
        set_diameter(word, 90)

        assert diameter_angstrom("UniProtKB:P00760", "trypsin") == 90
        assert known_diameters()[0].words == ("UniProtKB:P00760",)
        forget_diameter(word)
        assert diameter_angstrom("UniProtKB:P00760", "trypsin") == DEFAULT_DIAMETER_ANGSTROM

    @pytest.mark.parametrize(
        ("word", "angstrom"), [("x", 0), ("x", 4), ("x", 1e6), ("x", float("nan")), ("  ", 100), ("x" * 201, 100)]
    )
    def test_nonsense_is_refused(self, word, angstrom):
        with pytest.raises(ValueError, match=r"can't be|needs a name"):
            set_diameter(word, angstrom)

    @pytest.mark.parametrize("content", ["", "[]", "{", '{"diameters_angstrom": 3}', "[" * 10_000, "x" * 300_000])
    def test_a_file_that_is_no_table_changes_nothing_and_is_told(self, content):
        set_diameter("ribosome", 310)
        path = next(user_config_path("napari-cryoet").glob("diameters.json"))
        path.write_text(content)

        assert diameter_angstrom(None, "ribosome") == 300
        assert "isn't a table of diameters" in diameters_problem()

    def test_what_is_right_in_a_file_counts_though_something_in_it_is_wrong(self):
        set_diameter("ribosome", 310)
        path = next(user_config_path("napari-cryoet").glob("diameters.json"))
        path.write_text('{"diameters_angstrom": {"ribosome": 320, "a": -1, "b": "wide", "c": true, "d": NaN}}')

        assert diameter_angstrom(None, "ribosome") == 320
        assert "4 of 5" in diameters_problem()

    def test_a_folder_that_cannot_be_written_is_told_in_words(self, user_folder):
        user_config_path("napari-cryoet").parent.mkdir(parents=True, exist_ok=True)
        user_config_path("napari-cryoet").write_text("in the way")

        with pytest.raises(FormatError, match="can't be written"):
            set_diameter("ribosome", 310)
