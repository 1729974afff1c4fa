"""What the workers of RQ are given to do. A task that waits for a file is under way as long as the script wants."""

import os
import time


def wait_for(file, result):
    while not os.path.exists(file):
        time.sleep(0.02)
    return result


def add(a, b):
    return a + b
