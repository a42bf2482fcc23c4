"""From recordings to decoding, encoding and conversion, in a dozen lines.

The recordings here are simulated, so that the script runs anywhere. With your own, replace the two
`simulate` calls by `neuroalign.write_recordings` (arrays) or `neuroalign.Recordings` (a folder
that `neuroalign prepare` wrote).
"""

import neuroalign as na

pictures = na.embed_pictures(na.shipped_pictures(), "offline")
eeg = na.simulate(na.SimulationConfig(modality="eeg", channels=32), pictures, "data/eeg")
fmri = na.simulate(na.SimulationConfig(modality="fmri"), pictures, "data/fmri")

model = na.fit([eeg, fmri], pictures)  # looks at training trials only

test_eeg = model.embed(eeg.select(split="test").average_repeats())
test_fmri = model.embed(fmri.select(split="test").average_repeats())
shown = pictures.select(stimulus=test_eeg.items["stimulus"].unique())
gallery = model.embed_pictures(shown)

print(na.decode(test_eeg, gallery, k=5).table())  # recording -> pictures
print(na.encode(gallery, test_fmri, k=5).table())  # picture -> recordings
print(na.convert(test_eeg, test_fmri, k=5).table())  # EEG -> fMRI

for score in na.score_retrieval(
    test_eeg, gallery, task="decoding", source="eeg", target="pictures", model="default",
    items="averages of 4 repeats", pictures=shown, simulated=True,
):  # fmt: skip
    if score.subject == "all":
        print(f"{score.metric}: {score.value:.3f} [{score.low:.3f}, {score.high:.3f}], "
              f"chance {score.chance:.3f} (simulated)")  # fmt: skip

model.save("bundle")
assert na.load("bundle").embed(eeg).space == test_eeg.space
