#!/usr/bin/env bash
# Text and tables, from the files to a verdict: closed form on vectors that read no label, and scikit-learn's learners.
#
#     bash examples/text_and_tables.sh DATA OUT [sst2 emoji adult kdd]
#
# DATA is a folder with these parquet files, each with a column `label` and, but for KDD Cup 99, a column `split`:
#     text/sst2.parquet               SST-2: split train and dev, text, 2 classes
#     text/tweeteval_emoji.parquet    TweetEval emoji: split train, val and test, text, 20 unbalanced classes
#     tabular/adult.parquet           Adult: split train and test, 14 columns, 2 classes
#     tabular/kddcup99_10pct.parquet  KDD Cup 99, 10 %: 41 columns, 23 classes, most rows copies of others
# OUT takes vectors and runs; the script may be broken off and begun again. What it prints:
# benchmarks/quality/text_and_tables.md
set -eu

data=$1
out=$2
shift 2
export OMP_NUM_THREADS=1
TIMEFORMAT="(%0R s, of the processor %0U s)"

unseen() {
    echo
    echo "\$ unseen $*" | sed -e "s,$data,DATA,g" -e "s,$out/,,g"
    time command unseen "$@" --threads 1
}

sst2() {
    unseen embed "$data/text/sst2.parquet" --split train --test-split dev --out "$out/sst2"
    unseen prune "$out/sst2" --learner ridge --plan leave_one_out --keep 0.5 --out "$out/sst2-ridge"
    unseen evaluate "$out/sst2-ridge" --test "$out/sst2/test" --overlap drop --seeds 3 --out "$out/sst2-ridge-test"
    unseen prune "$data/text/sst2.parquet" --split train --learner tfidf --keep 0.5 --out "$out/sst2-tfidf"
    unseen evaluate "$out/sst2-tfidf" --test-split dev --overlap drop --seeds 2 --out "$out/sst2-tfidf-test"
}

emoji() {
    unseen embed "$data/text/tweeteval_emoji.parquet" --split train --test-split test --out "$out/emoji"
    unseen prune "$out/emoji" --learner ridge --plan leave_one_out --keep 0.5 --out "$out/emoji-ridge"
    unseen evaluate "$out/emoji-ridge" --test "$out/emoji/test" --overlap drop --seeds 3 --out "$out/emoji-ridge-test"
    unseen prune "$out/emoji" --learner logistic --keep 0.5 --out "$out/emoji-logistic"
    unseen evaluate "$out/emoji-logistic" --test "$out/emoji/test" --overlap drop --seeds 2 --out "$out/emoji-logistic-test"
}

adult() {
    unseen embed "$data/tabular/adult.parquet" --split train --test-split test --out "$out/adult"
    unseen prune "$out/adult" --learner ridge --plan leave_one_out --keep 0.5 --out "$out/adult-ridge"
    unseen evaluate "$out/adult-ridge" --test "$out/adult/test" --overlap drop --seeds 3 --out "$out/adult-ridge-test"
    unseen prune "$data/tabular/adult.parquet" --split train --learner hist_gradient_boosting --keep 0.5 \
        --out "$out/adult-boosting"
    unseen evaluate "$out/adult-boosting" --test-split test --overlap drop --seeds 3 --out "$out/adult-boosting-test"
}

kdd() {
    unseen embed "$data/tabular/kddcup99_10pct.parquet" --out "$out/kdd"
    unseen prune "$out/kdd" --learner ridge --plan leave_one_out --keep 0.1 --out "$out/kdd-ridge"
    unseen evaluate "$out/kdd-ridge" --seeds 2 --baseline full --baseline random --out "$out/kdd-ridge-test"
    unseen prune "$data/tabular/kddcup99_10pct.parquet" --learner extra_trees:n_estimators=20 --folds 2 --keep 0.1 \
        --out "$out/kdd-trees"
}

for set in "${@:-sst2}"; do
    "$set"
done
