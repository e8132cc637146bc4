"""Many runs over settings and seeds: what varies, who trains what, one trial, and the table of all."""
