;; Never answers anything, so the load check finds it.
;; shell: retry
;; expect: refused "failed on a sample failure: deadline: ran longer than 1s"
(core module $guest
  (func (export "classify") (param $failure i32) (result i32)
    (loop $again (br $again))
    (unreachable)))
