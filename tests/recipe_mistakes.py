"""Recipes with one mistake each, and the line that should come back: some hundred ways to go wrong."""

from __future__ import annotations

from mediadiff.yaml_document import MAX_BYTES

GOOD = """\
mediadiff: 1
task: train
name: digits
seconds: 1
data:
  folder: .
  label: "{label}_{speaker}_{take}"
  test: {take: [0, 1]}
streams:
  sound: {domain: spectrogram, sample_rate: 8000, n_fft: 256, hop: 64}
network: {channels: [64, 128], patch: {sound: [1, 2, 1]}}
training: {clips: 2e5, learning_rate: 1e-3}
sampling: {sampler: heun, steps: 20}
"""

RENDER = """\
mediadiff: 1
task: render
model: digits
num: 100
label: [7, eight]
"""


def changed(old: str, new: str, text: str = GOOD) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


# What is wrong, how the good recipe is changed, and the start of the one line that should come back.
TYPE_TRAPS = [
    ("no is text", changed("take: [0, 1]", "take: no"), "line 8, column 16: data.test.take: takes a number or a list; got the text 'no'"),
    ("on is text", changed("seconds: 1", "seconds: on"), "line 4, column 10: seconds: takes a number; got the text 'on'"),
    ("text for a number", changed("clips: 2e5", "clips: many"), "line 12, column 19: training.clips: takes a whole number; got the text 'many'"),
    ("quoted number", changed("clips: 2e5", "clips: '64'"), "line 12, column 19: training.clips: takes a whole number; got the text '64'; write 64"),
    ("underscores", changed("clips: 2e5", "clips: 1_000"), "line 12, column 19: training.clips: takes a whole number; got the text '1_000'; write 1000"),
    ("leading zero", changed("clips: 2e5", "clips: 010"), "line 12, column 19: training.clips: a leading zero (010) is read in two ways; write 10"),
    ("sexagesimal", changed("seconds: 1", "seconds: 12:30"), "line 4, column 10: seconds: takes a number; got the text '12:30'"),
    ("a date", changed("seconds: 1", "seconds: 2026-11-21"), "line 4, column 10: seconds: takes a number; got the text '2026-11-21'"),
    ("fraction for a count", changed("clips: 2e5", "clips: 2.5"), "line 12, column 19: training.clips: takes a whole number; got 2.5"),
    ("true for a count", changed("clips: 2e5", "clips: true"), "line 12, column 19: training.clips: takes a whole number; got true"),
    ("yes for true", GOOD + "condition: {label: yes}\n", "line 14, column 20: condition.label: takes true or false; got the text 'yes'; write true"),
    ("number for true", GOOD + "condition: {label: 1}\n", "line 14, column 20: condition.label: takes true or false; got 1"),
    ("number for text", changed("name: digits", "name: 7"), "line 3, column 7: name: takes text; got 7; write it in quotes: '7'"),
    ("nothing", changed("name: digits", "name:"), "line 3, column 6: name: takes text; got nothing"),
    ("nan", changed("seconds: 1", "seconds: .nan"), "line 4, column 10: seconds: numbers are finite; got .nan"),
    ("infinity", changed("seconds: 1", "seconds: -.inf"), "line 4, column 10: seconds: numbers are finite; got -.inf"),
    ("too large", changed("seconds: 1", "seconds: 1e999"), "line 4, column 10: seconds: numbers are finite; 1e999 is too large"),
    ("5000 digits", changed("seconds: 1", "seconds: " + "9" * 5000), "line 4, column 10: seconds: a number of 5000 digits"),
    ("negative", changed("clips: 2e5", "clips: -3"), "line 12, column 19: training.clips: takes at least 1; got -3"),
    ("zero seconds", changed("seconds: 1", "seconds: 0"), "line 4, column 10: seconds: takes more than 0; got 0"),
    ("an hour and more", changed("seconds: 1", "seconds: 3601"), "line 4, column 10: seconds: takes at most 3600; got 3601"),
    ("a number as a name", changed("network: {", "network: {1: 2, "), 'line 11, column 11: network.1: a name is text; got 1; write it in quotes: "1"'),
    ("true as a name", changed("network: {", "network: {true: 2, "), "line 11, column 11: network.true: a name is text; got true"),
    ("null as a name", changed("network: {", "network: {~: 2, "), "line 11, column 11: network.~: a name is text; got nothing"),
    ("NUL", changed("name: digits", 'name: "a\\0"'), "line 3, column 7: name: text cannot hold a NUL"),
]  # fmt: skip

STRUCTURE = [
    ("empty", "", "line 1, column 1: the document is empty"),
    ("comment only", "# nothing\n", "line 1, column 1: the document is empty"),
    ("scalar", "hello\n", "line 1, column 1: a document is a mapping of names to values; got the text 'hello'"),
    ("list", "- 1\n- 2\n", "line 1, column 1: a document is a mapping of names to values; got a list"),
    ("two documents", GOOD + "---\na: 1\n", "line 14, column 1: a second document starts here"),
    ("tab", changed("  folder: .", "\tfolder: ."), "line 6, column 1: not YAML: while scanning"),
    ("no space after a colon", changed("patch: {sound: [1, 2, 1]}", "patch: {sound:[1, 2, 1]}"), "line 11, column 45: not YAML: while scanning a plain scalar found unexpected ':'; put a space after each colon"),
    ("UTF-16", GOOD.encode("utf-16"), "line 1, column 1: not UTF-8 text"),
    ("latin-1", GOOD.encode() + "# é".encode("latin-1"), "line 14, column 1: not UTF-8 text"),
    ("raw NUL", GOOD + "a: \0\n", "line 14, column 1: not YAML: unacceptable character"),
    ("unclosed", changed("channels: [64, 128]", "channels: [64, 128"), "line 11, column 56: not YAML: while parsing a flow sequence"),
    ("colon in a value", changed("name: digits", "name: a: b"), "line 3, column 8: not YAML: mapping values are not allowed"),
    ("bad indent", changed("  folder: .", "   folder: ."), "line 7, column 3: not YAML: while parsing a block mapping"),
    ("500 deep", GOOD + "a: " + "[" * 500 + "]" * 500 + "\n", "line 14, column 36: a: nested more than 32 deep"),
    ("alias", changed("name: digits", "name: *x"), "line 3, column 7: name: aliases (*x) are not read"),
    ("anchor", changed("name: digits", "name: &x digits"), "line 3, column 7: name: anchors (&x) are not read"),
    ("merge", GOOD + "<<: {a: 1}\n", "line 14, column 1: <<: merging (<<) is not read"),
    ("mapping as a name", GOOD + "? {a: 1}\n: 2\n", "line 14, column 3: ?: a name is text"),
    ("equal names", GOOD + "name: other\n", "line 14, column 1: name: written twice; the first is at line 3, column 1"),
    ("equal names inside", changed("hop: 64", "hop: 64, hop: 32"), "line 10, column 72: streams.sound.hop: written twice; the first is at line 10, column 63"),
    ("equal names deep", changed("patch: {sound: [1, 2, 1]", "patch: {sound: [1, 2, 1], sound: [1, 1, 1]"), "line 11, column 58: network.patch.sound: written twice"),
    ("100 MB", "a: " + "x" * MAX_BYTES, f"line 1, column 1: {MAX_BYTES + 1:,} bytes; at most"),
    ("a million names", "".join(f"k{i}: 1\n" for i in range(1_000_000)), "line 100000, column 9: k99999: more than 100,000 values"),
]  # fmt: skip

TAGS = [
    ("python object", changed("name: digits", "name: !!python/object/apply:os.system [ls]"), "line 3, column 7: name: tags (tag:yaml.org,2002:python/object/apply:os.system) are not read"),
    ("python name", changed("name: digits", "name: !!python/name:os.system"), "line 3, column 7: name: tags"),
    ("binary", changed("name: digits", "name: !!binary aGk="), "line 3, column 7: name: tags (tag:yaml.org,2002:binary) are not read"),
    ("set", changed("seconds: 1", "seconds: !!set {a, b}"), "line 4, column 10: seconds: tags (tag:yaml.org,2002:set)"),
    ("int", changed("seconds: 1", "seconds: !!int '1'"), "line 4, column 10: seconds: tags"),
    ("own", changed("seconds: 1", "seconds: !mine 1"), "line 4, column 10: seconds: tags (!mine) are not read"),
    ("tag on a name", GOOD + "!!str extra: 1\n", "line 14, column 1: extra: a name takes no anchor and no tag"),
]  # fmt: skip

SCHEMA = [
    ("no version", changed("mediadiff: 1\n", ""), "line 1, column 1: mediadiff: is missing: a recipe starts with its version, mediadiff: 1"),
    ("later version", changed("mediadiff: 1", "mediadiff: 2"), "line 1, column 12: mediadiff: this mediadiff reads version 1; got 2; update"),
    ("version as text", changed("mediadiff: 1", "mediadiff: '1'"), "line 1, column 12: mediadiff: this mediadiff reads version 1; got 1"),
    ("version true", changed("mediadiff: 1", "mediadiff: true"), "line 1, column 12: mediadiff: this mediadiff reads version 1; got True"),
    ("no task", changed("task: train\n", ""), "line 1, column 1: task: is missing; it takes one of train, render"),
    ("task misspelt", changed("task: train", "task: trian"), "line 2, column 7: task: takes one of train, render, distill; got 'trian'; did you mean train?"),
    ("no data", changed(GOOD[GOOD.index("data:") : GOOD.index("streams:")], ""), "line 1, column 1: data: is missing: the media to learn from"),
    ("no folder", changed("  folder: .\n", ""), "line 6, column 3: data: folder is the folder of media; give it, or bounce for generated clips, and not both"),
    ("section is a list", changed("training: {clips: 2e5, learning_rate: 1e-3}", "training: [1]"), "line 12, column 11: training: takes a section: a mapping of names to values; got a list"),
    ("section is empty", changed("training: {clips: 2e5, learning_rate: 1e-3}", "training:"), "line 12, column 10: training: takes a section: a mapping of names to values; got nothing"),
    ("section misspelt", changed("training:", "trainning:"), "line 12, column 1: trainning: unknown; known: name, seconds, data, streams, condition, network, diffusion, training, sampling, mediadiff, task; did you mean training?"),
    ("internal field", GOOD + "written: {}\n", "line 14, column 1: written: unknown; known: name, seconds"),
    ("setting misspelt", changed("learning_rate", "learnig_rate"), "line 12, column 24: training.learnig_rate: unknown; known: clips, batch, learning_rate,"),
    ("python's idea of a name", changed("network: {", "network: {__class__: 1, "), "line 11, column 11: network.__class__: unknown"),
    ("import path", changed("network: {", "network: {_target_: os.system, "), "line 11, column 11: network._target_: unknown"),
    ("sampler unknown", changed("sampler: heun", "sampler: dpm_2m"), "line 13, column 21: sampling.sampler: takes one of ddpm, ddim, euler, euler_a, heun, dpmpp_2m, dpmpp_2m_sde, unipc, deis, lcm; got the text 'dpm_2m'; did you mean dpmpp_2m?"),
    ("no steps", changed("steps: 20", "steps: 0"), "line 13, column 34: sampling.steps: takes at least 1; got 0"),
    ("guidance interval", changed("steps: 20", "guidance_low: 3, guidance_high: 2"), "line 13, column 59: sampling.guidance_high: takes more than guidance_low (3); got 2"),
    ("no channels", changed("[64, 128]", "[]"), "line 11, column 21: network.channels: takes at least 1 values; got 0"),
    ("a channel of 0", changed("[64, 128]", "[64, 0]"), "line 11, column 26: network.channels[1]: takes at least 1; got 0"),
    ("channels not a list", changed("[64, 128]", "64"), "line 11, column 21: network.channels: takes a list; got 64"),
    ("short patch", changed("[1, 2, 1]", "[1, 2]"), "line 11, column 47: network.patch.sound: takes 3 values; got 2"),
    ("long patch", changed("[1, 2, 1]", "[1, 2, 1, 1]"), "line 11, column 47: network.patch.sound: takes at most 3 values; got 4"),
    ("patch of no stream", changed("patch: {sound", "patch: {picture"), "line 11, column 40: network.patch.picture: unknown; known: sound"),
    ("warm-up too long", changed("clips: 2e5", "clips: 10, warmup: 11"), "line 12, column 31: training.warmup: takes at most the clips of the training (10); got 11"),
    ("no streams", changed("\n  sound: {domain: spectrogram, sample_rate: 8000, n_fft: 256, hop: 64}\nnetwork: {channels: [64, 128], patch: {sound: [1, 2, 1]}}", " {}"), "line 9, column 10: streams: takes sound, picture or both; got none"),
    ("stream unknown", changed("streams:\n", "streams:\n  smell: {domain: spectrogram}\n"), "line 10, column 3: streams.smell: unknown; known: sound, picture"),
    ("stream not a section", changed("streams:\n", "streams:\n  picture: frames\n"), "line 10, column 12: streams.picture: takes a section: domain, and that domain's settings; got the text 'frames'"),
    ("no domain", changed("domain: spectrogram, ", ""), "line 10, column 3: streams.sound.domain: is missing; it takes one of frames, mel, spectrogram, stft"),
    ("domain misspelt", changed("spectrogram", "spectogram"), "line 10, column 19: streams.sound.domain: takes one of frames, mel, spectrogram, stft; got 'spectogram'; did you mean spectrogram?"),
    ("domain as a path", changed("spectrogram", "os.path"), "line 10, column 19: streams.sound.domain: takes one of frames, mel, spectrogram, stft; got 'os.path'"),
    ("domain's base", changed("spectrogram", "base"), "line 10, column 19: streams.sound.domain: takes one of frames, mel, spectrogram, stft; got 'base'"),
    ("domain of another medium", changed("streams:\n", "streams:\n  picture: {domain: mel}\n"), "line 10, column 21: streams.picture.domain: mel is a domain of sound, so it belongs in streams.sound"),
    ("domain's setting misspelt", changed("sample_rate", "samplerate"), "line 10, column 32: streams.sound.samplerate: unknown; known: sample_rate, channels, n_fft, hop, floor_db, iterations, domain; did you mean sample_rate?"),
    ("domain's setting too small", changed("sample_rate: 8000", "sample_rate: 1"), "line 10, column 45: streams.sound.sample_rate: takes at least 1000; got 1"),
    ("domain's rule", changed("hop: 64", "hop: 128"), "line 10, column 58: streams.sound.n_fft: n_fft is a multiple of 4 and at least 4 times hop"),
    ("frame rate", changed("streams:\n", "streams:\n  picture: {domain: frames, frame_rate: 1/0}\n"), "line 10, column 41: streams.picture.frame_rate: frame_rate is frames per second, such as 12 or '24000/1001'; got '1/0'"),
    ("frame rate with a fraction", changed("streams:\n", "streams:\n  picture: {domain: frames, frame_rate: 23.976}\n"), "line 10, column 41: streams.picture.frame_rate: takes a whole number or text; got 23.976"),
    ("pattern without label", changed("{label}_{speaker}_{take}", "{speaker}"), "line 7, column 10: data.label: label is 'folder' or a pattern"),
    ("name is a path", changed("name: digits", "name: ../digits"), "line 3, column 7: name: takes letters, digits and _ . - only, as a folder's name; got '../digits'"),
    ("name is hidden", changed("name: digits", "name: .digits"), "line 3, column 7: name: takes letters, digits"),
    ("name too long", changed("name: digits", "name: " + "d" * 65), "line 3, column 7: name: takes at most 64 characters; got 65"),
    ("name empty", changed("name: digits", "name: ''"), "line 3, column 7: name: takes at least 1 characters; got 0"),
    ("variable not set", changed("folder: .", "folder: $NO_SUCH_VARIABLE/x"), "line 6, column 11: data.folder: the environment variable NO_SUCH_VARIABLE is not set; set it (export NO_SUCH_VARIABLE=/a/folder) or write the path out"),
    ("lone dollar", changed("folder: .", "folder: a$/b"), "line 6, column 11: data.folder: a lone $; write $$"),
]  # fmt: skip

RENDERS = [
    ("no model", changed("model: digits\n", "", RENDER), "line 1, column 1: model: is missing: a model's folder, or the name of a shipped model"),
    ("empty model", changed("model: digits", "model: ''", RENDER), "line 3, column 8: model: takes at least 1 characters; got 0"),
    ("a billion and one", changed("num: 100", "num: 1000000001", RENDER), "line 4, column 6: num: takes at most 1000000000; got 1000000001"),
    ("no clips", changed("num: 100", "num: 0", RENDER), "line 4, column 6: num: takes at least 1; got 0"),
    ("seed below 0", RENDER + "seed: -1\n", "line 6, column 7: seed: takes at least 0; got -1"),
    ("seed of 2^64", RENDER + "seed: 18446744073709551616\n", "line 6, column 7: seed: takes at most 9223372036854775807; got 18446744073709551616"),
    ("seed true", RENDER + "seed: true\n", "line 6, column 7: seed: takes a whole number; got true"),
    ("label true", changed("[7, eight]", "true", RENDER), "line 5, column 8: label: takes text or a whole number or a list; got true"),
    ("label with a fraction", changed("[7, eight]", "[7, 1.5]", RENDER), "line 5, column 12: label[1]: takes text or a whole number; got 1.5"),
    ("format unknown", RENDER + "format: mp5\n", "line 6, column 9: format: takes one of wav, flac, ogg, mp3, mp4, webm, mkv, gif, png; got the text 'mp5'; did you mean mp4?"),
    ("out absolute", RENDER + "out: /etc\n", "line 6, column 6: out: takes a folder below the working folder"),
    ("out above", RENDER + "out: a/../../b\n", "line 6, column 6: out: takes a folder below the working folder"),
    ("sampling misspelt", RENDER + "sampling: {step: 3}\n", "line 6, column 12: sampling.step: unknown; known: sampler, steps,"),
    ("sampling not a section", RENDER + "sampling: heun\n", "line 6, column 11: sampling: takes a mapping of names to values; got the text 'heun'"),
    ("training setting", RENDER + "training: {}\n", "line 6, column 1: training: unknown; known: model, num, label, caption, scalars, seconds, seed, first, format, out, sampling"),
]  # fmt: skip

BAD = TYPE_TRAPS + STRUCTURE + TAGS + SCHEMA + RENDERS
