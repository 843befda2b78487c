"""Writes python_floats.tsv: numbers as JSON text, and what Python's json makes of them."""

import json
import random
import struct

texts = [
    "0.0", "-0.0", "1.0", "1e2", "1E+2", "1e-2", "0.1", "50.57", "5.114698E4", "1e15", "1e16",
    "123456789012345.6", "1234567890123456.7", "12345678901234567.8", "9007199254740993.0",
    "1e17", "1e21", "1e22", "1e23", "1e-4", "1e-5", "0.00012345", "0.000012345", "5e-324",
    "2.2250738585072014e-308", "2.225073858507201e-308", "1.7976931348623157e308", "1e-400",
    "0.30000000000000004", "100000000000000000000000.0", "9.5e15", "9.999999999999999e15",
    "9999999999999999.5", "-1.5", "-1e-7", "-123e-20", "3.0e0", "4.35", "2.675",
]
random.seed(20)
for _ in range(250):
    value = struct.unpack("<d", struct.pack("<Q", random.getrandbits(64)))[0]
    if value == value and abs(value) != float("inf"):
        texts.append("%.17e" % value)
for _ in range(100):
    texts.append("%s%d.%de%d" % (random.choice(["", "-"]), random.randrange(10),
                                 random.randrange(10**6), random.randrange(-25, 25)))
with open("python_floats.tsv", "w") as out:
    for text in texts:
        out.write("%s\t%s\n" % (text, json.dumps(json.loads(text), allow_nan=False)))
