;; Declares 100,000 types.
;; expect: rejected "exports nothing"
(component <<100000 times (type (record (field "a" u64) (field "b" string))) >>)
