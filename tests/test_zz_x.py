import sys, os
def test_a():
    from scorer.cpu import _chosen
    assert _chosen=="MKL", _chosen
    assert "qfid" in os.environ["QFID_DATA_DIR"]
