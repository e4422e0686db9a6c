"""FakeAVCeleb: what is seen is the label, and the table and the folders are compared."""

from __future__ import annotations

import pytest

from gendkit.errors import InvalidLabels, InvalidManifest, InvalidOption, MissingMedia

NAME = "fakeavceleb"
HEAD = "source,target1,target2,method,category,type,race,gender,path,"
ROWS = (
    ("id00076", "-", "-", "real", "A", "RealVideo-RealAudio", "00109.mp4"),
    ("id00076", "-", "-", "rtvc", "B", "RealVideo-FakeAudio", "00109_fake.mp4"),
    ("id00076", "id00476", "-", "faceswap", "C", "FakeVideo-RealAudio", "00109_id00476_x.mp4"),
    ("id00076", "id00476", "10", "wav2lip", "D", "FakeVideo-FakeAudio", "00109_10_id00476_w.mp4"),
)


def made(tree, rows=ROWS, *, without=(), head=HEAD):
    lines = [head]
    places = []
    for source, one, two, method, category, kind, name in rows:
        folder = f"{kind}/Asian (South)/men/{source}"
        fields = (source, one, two, method, category, kind, "Asian (South)", "men", name)
        lines.append(",".join([*fields, f"FakeAVCeleb/{folder}"]))
        places += [f"{folder}/{name}"] if name not in without else []
    root = tree(*places)
    root.mkdir(exist_ok=True)
    (root / "meta_data.csv").write_text("\n".join(lines))
    return root


def test_labels_are_visual_and_fake_voices_are_left_out(tree, clips, caplog):
    found = clips(NAME, made(tree))
    assert {v: (c.label, c.method, c.family) for v, c in found.items()} == {
        "RealVideo-RealAudio/id00076/00109": (0, "", ""),
        "FakeVideo-RealAudio/id00076/00109_id00476_x": (1, "faceswap", "face-swap"),
        "FakeVideo-FakeAudio/id00076/00109_10_id00476_w": (1, "wav2lip", "lip-sync"),
    }
    assert {c.pair for c in found.values()} == {"RealVideo-RealAudio/id00076/00109"}
    assert {c.target_identity for c in found.values()} == {"id00076"}
    assert {c.split for c in found.values()} == {""}
    assert not caplog.records


def test_a_swap_has_a_donor_and_a_lip_sync_has_none(tree, clips):
    _, swap, lips = clips(NAME, made(tree)).values()
    assert (swap.donor_identity, lips.donor_identity) == ("id00476", "")
    assert (swap.generator_year, lips.generator_year) == (None, 2020)


def test_real_videos_with_a_fake_voice_are_real_when_they_are_asked_for(tree, clips):
    voice = clips(NAME, made(tree), voices="real")["RealVideo-FakeAudio/id00076/00109_fake"]
    assert (voice.label, voice.method, voice.donor_identity) == (0, "", "")
    assert voice.pair == "RealVideo-RealAudio/id00076/00109"
    with pytest.raises(InvalidOption, match="'fake'; expected real, or nothing"):
        clips(NAME, made(tree), voices="fake")


def test_what_the_table_or_the_folders_lack_is_told_in_one_warning(tree, clips, caplog):
    twice = (*ROWS[3][:3], "faceswap-wav2lip", *ROWS[3][4:])
    root = made(tree, [*ROWS, twice], without=["00109.mp4"])
    tree("FakeVideo-RealAudio/Asian (South)/men/id00076/extra.mp4")
    found = clips(NAME, root)
    assert [c.method for c in found.values()] == ["faceswap", "wav2lip"]
    [record] = caplog.records
    told = record.getMessage()
    assert "left out, as they are not in meta_data.csv: 1, " in told
    assert "of 4 rows of meta_data.csv, without a file: 1, " in told
    assert "left out, as they are there twice: 1, " in told
    assert "fakes without their real clip: 2, FakeVideo-RealAudio/id00076/00109_id00476_x" in told


def test_without_the_table_or_any_video_the_layout_and_access_are_told(tree, clips):
    root = tree("RealVideo-RealAudio/African/men/id00076/00109.mp4")
    with pytest.raises(MissingMedia, match=r"no meta_data\.csv in .* TYPE/RACE/.*fakeavcelebdash"):
        clips(NAME, root)
    (root / "meta_data.csv").write_text(f"{HEAD}\n")
    with pytest.raises(MissingMedia, match=r"no video of meta_data\.csv under "):
        clips(NAME, root)


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({5: "RealVideo"}, InvalidLabels, "line 2, has the type 'RealVideo'; it is RealVideo-Re"),
        ({5: "FakeVideo-RealAudio"}, InvalidLabels, "a fake video with the method 'real'"),
        ({6: "../00109.mp4"}, InvalidManifest, "expected RACE/GENDER/SOURCE/NAME.mp4"),
        ({0: ".."}, InvalidManifest, "expected RACE/GENDER/SOURCE/NAME.mp4"),
    ],
)
def test_a_row_that_says_nothing_certain_is_refused(tree, clips, change, error, told):
    row = tuple(change.get(i, value) for i, value in enumerate(ROWS[0]))
    with pytest.raises(error, match=told):
        clips(NAME, made(tree, [row], without=[row[6]]))


def test_a_table_without_its_columns_is_refused(tree, clips):
    with pytest.raises(InvalidManifest, match="has no column type, path; it has source, target1"):
        clips(NAME, made(tree, head=HEAD.replace("type", "kind").replace("path", "file")))
    root = made(tree)
    (root / "meta_data.csv").write_text(f"{HEAD}\nid00076,-,-,real\n")
    with pytest.raises(InvalidManifest, match="line 2, has no type, race, gender, path"):
        clips(NAME, root)
