"""The world's prompt templates: what instructions teach is what the suite asks.

``conf/eval_suite/microworld.yaml`` holds the same templates; a test keeps the two equal.
"""

TOPIC = "{text}\ntopic :"
READING = "{passage}\nquestion : {question}\nanswer :"
ARITHMETIC = "{question}\nanswer :"
TRANSLATION = "{source_language} : {source}\n{language} :"

SIB_NAMES = {"science": "science/technology"}
"""Topic -> category name of SIB-200, where they differ."""
