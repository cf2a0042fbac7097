import pytest
from gql import Client, gql
from gql.transport.exceptions import TransportQueryError

from napari_cryoet.exceptions import PackError
from napari_cryoet.packs.pack import open_pack, write_pack
from napari_cryoet.packs.transport import PackTransport
from packs.small_pack import MANIFEST, small_tables


@pytest.fixture
def folder(tmp_path):
    write_pack(tmp_path, MANIFEST, small_tables())
    return tmp_path


def test_gql_asks_a_pack_like_a_server(folder):
    client = Client(transport=PackTransport(folder), fetch_schema_from_transport=True)
    request = gql("query Q($id: Int!) { runs(where: {id: {_eq: $id}}) { name } }")
    request.variable_values = {"id": 100}
    assert client.execute(request) == {"runs": [{"name": "TS_026"}]}


def test_urls_lead_to_the_packs_own_files(folder):
    client = Client(transport=PackTransport(open_pack(folder)))
    run = client.execute(gql("{ runs(where: {id: {_eq: 101}}) { httpsPrefix s3Prefix } }"))["runs"][0]
    assert run["httpsPrefix"].startswith(folder.resolve().as_uri() + "/files/10/TS_1%20")
    assert run["s3Prefix"].startswith("s3://bucket/")


def test_filters_see_the_same_urls_as_answers(folder):
    client = Client(transport=PackTransport(folder))
    url = client.execute(gql("{ runs(where: {id: {_eq: 101}}) { httpsPrefix } }"))["runs"][0]["httpsPrefix"]
    request = gql("query Q($url: String) { runs(where: {httpsPrefix: {_eq: $url}}) { id } }")
    request.variable_values = {"url": url}
    assert client.execute(request) == {"runs": [{"id": 101}]}


def test_an_error_of_the_query_is_the_clients_usual_error(folder):
    with pytest.raises(TransportQueryError, match="Cannot use offset without limit"):
        Client(transport=PackTransport(folder)).execute(gql("{ runs(limitOffset: {offset: 1}) { id } }"))


def test_a_damaged_pack_says_so(folder):
    (folder / "tables" / "runs.json").write_text("[")
    with pytest.raises(PackError, match=r"runs\.json isn't valid JSON"):
        Client(transport=PackTransport(folder)).execute(gql("{ runs { id } }"))


def test_a_folder_that_is_no_pack_is_refused_at_once(tmp_path):
    with pytest.raises(PackError, match="isn't a pack"):
        PackTransport(tmp_path)
