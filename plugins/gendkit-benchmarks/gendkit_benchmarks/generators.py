"""In which year a generator was first published: the paper that made it known, or its software.

A method that is not here, or of which the owners say too little, has no year. The names are those
that the owners of the datasets use; capitals and `-`, `_` and spaces in them do not count.
"""

from __future__ import annotations

from collections.abc import Mapping

YEARS: Mapping[str, tuple[int, str]] = {
    # FaceForensics++
    "Deepfakes": (2017, "github.com/deepfakes/faceswap, first commit in December 2017"),
    "Face2Face": (2016, "Thies et al., CVPR 2016"),
    "NeuralTextures": (2019, "Thies et al., SIGGRAPH 2019, arXiv 1904.12356"),
    "FaceShifter": (2019, "Li et al., arXiv 1912.13457"),
    # swaps
    "FakeApp": (2018, "desktop software, January 2018"),
    "fsgan": (2019, "Nirkin et al., ICCV 2019, arXiv 1908.05932"),
    "SimSwap": (2020, "Chen et al., ACM Multimedia 2020, arXiv 2106.06340"),
    "InfoSwap": (2021, "Gao et al., CVPR 2021"),
    "HifiFace": (2021, "Wang et al., IJCAI 2021, arXiv 2106.09965"),
    "GHOST": (2022, "Groshev et al., IEEE Access 2022"),
    "MobileFaceSwap": (2022, "Xu et al., AAAI 2022, arXiv 2201.03808"),
    "mobileswap": (2022, "Xu et al., AAAI 2022, arXiv 2201.03808"),
    "UniFace": (2022, "Xu et al., ECCV 2022"),
    "FaceDancer": (2022, "Rosberg et al., WACV 2023, arXiv 2210.10473"),
    "e4s": (2022, "Liu et al., CVPR 2023, arXiv 2211.14068"),
    "BlendFace": (2023, "Shiohara et al., ICCV 2023, arXiv 2307.10854"),
    "InSwapper": (2023, "model inswapper_128 of InsightFace"),
    "inswap": (2023, "model inswapper_128 of InsightFace"),
    "roop": (2023, "github.com/s0md3v/roop"),
    "facefusion": (2023, "github.com/facefusion/facefusion"),
    # reenactment and talking faces
    "FOMM": (2019, "Siarohin et al., NeurIPS 2019, arXiv 2003.00196"),
    "Wav2Lip": (2020, "Prajwal et al., ACM Multimedia 2020, arXiv 2008.10010"),
    "faceswap-wav2lip": (2020, "the later of the two: Wav2Lip"),
    "fsgan-wav2lip": (2020, "the later of the two: Wav2Lip"),
    "facevid2vid": (2020, "Wang et al., CVPR 2021, arXiv 2011.15126"),
    "MRAA": (2021, "Siarohin et al., CVPR 2021, arXiv 2104.11280"),
    "PIRender": (2021, "Ren et al., ICCV 2021, arXiv 2109.08379"),
    "LIA": (2022, "Wang et al., ICLR 2022, arXiv 2203.09043"),
    "DaGAN": (2022, "Hong et al., CVPR 2022, arXiv 2203.06605"),
    "TPSMM": (2022, "Zhao et al., CVPR 2022, arXiv 2203.14367"),
    "tpsm": (2022, "Zhao et al., CVPR 2022, arXiv 2203.14367"),
    "VideoRetalking": (2022, "Cheng et al., SIGGRAPH Asia 2022, arXiv 2211.14758"),
    "retalking": (2022, "Cheng et al., SIGGRAPH Asia 2022, arXiv 2211.14758"),
    "SadTalker": (2022, "Zhang et al., CVPR 2023, arXiv 2211.12194"),
    "HyperReenact": (2023, "Bounareli et al., ICCV 2023, arXiv 2307.10797"),
    "MCNET": (2023, "Hong and Xu, ICCV 2023, arXiv 2307.09906"),
    "IP_LAP": (2023, "Zhong et al., CVPR 2023, arXiv 2305.08293"),
    "Diff2Lip": (2023, "Mukhopadhyay et al., WACV 2024, arXiv 2308.09716"),
    "FSRT": (2024, "Rochow et al., CVPR 2024, arXiv 2404.09736"),
    "LivePortrait": (2024, "Guo et al., arXiv 2407.03168"),
    "AniTalker": (2024, "Liu et al., ACM Multimedia 2024, arXiv 2405.03121"),
    "EchoMimic": (2024, "Chen et al., arXiv 2407.08136"),
    "EDTalk": (2024, "Tan et al., ECCV 2024, arXiv 2404.01647"),
    "FLOAT": (2024, "Ki et al., arXiv 2412.01064"),
    "Real3DPortrait": (2024, "Ye et al., ICLR 2024, arXiv 2401.08503"),
    "HelloMeme": (2024, "Zhang et al., arXiv 2410.22901"),
    "LatentSync": (2024, "Li et al., arXiv 2412.09262"),
    "MEMO": (2024, "Zheng et al., arXiv 2412.04448"),
    # whole faces and edits
    "StarGAN": (2017, "Choi et al., CVPR 2018, arXiv 1711.09020"),
    "StarGANv2": (2019, "Choi et al., CVPR 2020, arXiv 1912.01865"),
    "StyleGAN2": (2019, "Karras et al., CVPR 2020, arXiv 1912.04958"),
    "VQGAN": (2020, "Esser et al., CVPR 2021, arXiv 2012.09841"),
    "ddim": (2020, "Song et al., ICLR 2021, arXiv 2010.02502"),
    "e4e": (2021, "Tov et al., SIGGRAPH 2021, arXiv 2102.02766"),
    "StyleCLIP": (2021, "Patashnik et al., ICCV 2021, arXiv 2103.17249"),
    "StyleGAN3": (2021, "Karras et al., NeurIPS 2021, arXiv 2106.12423"),
    "StyleGANXL": (2022, "Sauer et al., SIGGRAPH 2022, arXiv 2202.00273"),
    "sd2.1": (2022, "Stable Diffusion 2.1, December 2022"),
    "DiT": (2022, "Peebles and Xie, ICCV 2023, arXiv 2212.09748"),
    "CollabDiff": (2023, "Huang et al., CVPR 2023, arXiv 2304.10530"),
    "RDDM": (2023, "Liu et al., CVPR 2024, arXiv 2308.13712"),
    "pixart": (2023, "Chen et al., ICLR 2024, arXiv 2310.00426"),
    "MidJourney": (2023, "DF40 names version 6, December 2023"),
    "SiT": (2024, "Ma et al., ECCV 2024, arXiv 2401.08740"),
}


def generator_year(method: str) -> int | None:
    """Return the year in which a method was first published; None if that is not known here."""
    found = _BY_NAME.get(_plain(method))
    return None if found is None else found[0]


def _plain(method: str) -> str:
    return "".join(c for c in method.casefold() if c not in "-_ ")


_BY_NAME = {_plain(name): found for name, found in YEARS.items()}
