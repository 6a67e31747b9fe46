"""From records to numbers: means, intervals, verdicts, and what they rest on."""
